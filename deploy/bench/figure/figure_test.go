package figure

import "testing"

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Seconds, 1.2345e-6, "1.23µs"}, {Seconds, 123.456e-6, "123µs"}, {Seconds, 12.345e-3, "12.3ms"}, {Seconds, 1, "1s"},
		{Count, 0, "0"}, {Count, 999, "999"}, {Count, 1000, "1,000"}, {Count, -1234567, "-1,234,567"}, {Count, -100, "-100"},
	} {
		if got := c.unit.Text(c.v); got != c.want {
			t.Errorf("%v %s is written %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}
