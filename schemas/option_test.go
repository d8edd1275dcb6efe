package schemas

import (
	"reflect"
	"strings"
	"testing"
)

// The table of options and the lists of Options match.
func TestOptionTypes(t *testing.T) {
	optional := map[string]bool{} // the lists that no row has named yet
	for field := range reflect.TypeFor[Options]().Fields() {
		name, flags, _ := strings.Cut(field.Tag.Get("json"), ",")
		if flags != "omitempty" || field.Type.Kind() != reflect.Slice {
			t.Errorf("%s is no optional list", name)
		}
		if name != "unknown" {
			optional[name] = true
		}
	}
	last := 0
	for _, row := range OptionTypes() {
		if int(row.Type) <= last {
			t.Errorf("option %d follows option %d", row.Type, last)
		}
		last = int(row.Type)
		if row.Name == "" || row.RFC == "" && row.Name != "unassigned" || strings.HasSuffix(row.Name, "option") {
			t.Errorf("option %d: name %q, defined in %q", row.Type, row.Name, row.RFC)
		}
		if row.Min == 0 || row.Min%8 != 0 || row.Max%8 != 0 || row.Max != 0 && row.Max < row.Min || row.Max > 8*255 {
			t.Errorf("option %d: %d to %d bytes", row.Type, row.Min, row.Max)
		}
		if row.In&^inAny != 0 {
			t.Errorf("option %d is allowed in unknown messages: %b", row.Type, row.In)
		}
		if found := OptionTypeOf(row.Type); found == nil || *found != row {
			t.Errorf("option %d is found as %+v", row.Type, found)
		}
		if row.Member == "" {
			continue
		}
		if !optional[row.Member] {
			t.Errorf("option %d: no list is called %q, or another row has it", row.Type, row.Member)
		}
		delete(optional, row.Member)
	}
	for name := range optional {
		t.Errorf("no row has the list %q", name)
	}
	if OptionTypeOf(0) != nil || OptionTypeOf(255) != nil {
		t.Error("options 0 and 255 have a row")
	}
}

// An option has the same name and type in a PvD option as in a message.
func TestPvDOptions(t *testing.T) {
	options := reflect.TypeFor[Options]()
	for field := range reflect.TypeFor[PvDOptions]().Fields() {
		same, ok := options.FieldByName(field.Name)
		if !ok || same.Type != field.Type || same.Tag.Get("json") != field.Tag.Get("json") {
			t.Errorf("%s is %v in a PvD option, and %v in a message", field.Name, field.Type, same.Type)
		}
	}
}
