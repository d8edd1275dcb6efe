package proc

import "testing"

func TestMetrics(t *testing.T) {
	m := Metrics("# HELP a text\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\na_total 100\na{xx=\"1\"} 1e+02\nb 7\n")
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"a", nil, 107}, {"a", []string{`x="1"`}, 7}, {"a", []string{`x="1"`, `y="3"`}, 4}, {"b", nil, 7}, {"c", nil, 0},
	} {
		if got := m.Sum(c.name, c.labels...); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}
