package schemas

import (
	"reflect"
	"slices"
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

// Every struct of flags in an event has a table, in which each member has bits
// of its own and each bit a name.
func TestAllFlags(t *testing.T) {
	tables := map[reflect.Type]reflect.Value{} // by the struct of flags
	all := reflect.ValueOf(AllFlags()).Elem()
	for i := range all.NumField() {
		table := all.Field(i).Addr()
		tables[table.MethodByName("Decode").Type().Out(0)] = table
	}
	found := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != reflect.TypeFor[Event]().PkgPath() {
			return
		}
		for field := range typ.Fields() {
			if strings.HasPrefix(field.Tag.Get("json"), "flag") && field.Type.Kind() == reflect.Struct {
				found[field.Type] = true
				checkFlags(t, field.Type, tables[field.Type])
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[Event]())
	if len(found) != len(tables) {
		t.Errorf("an event has the flags %v, and there are tables of %v", found, tables)
	}
}

func checkFlags(t *testing.T, flags reflect.Type, table reflect.Value) {
	t.Helper()
	if !table.IsValid() {
		t.Errorf("%v has no table", flags)
		return
	}
	call := func(method string, arg any) any {
		return table.MethodByName(method).Call([]reflect.Value{reflect.ValueOf(arg)})[0].Interface()
	}
	read := map[string]bool{} // the members that some bit sets
	var names []string
	for bit := range 8 {
		octet := uint8(1) << bit
		decoded := call("Decode", octet)
		set := 0
		for i := range flags.NumField() {
			if !reflect.ValueOf(decoded).Field(i).IsZero() {
				read[flags.Field(i).Name] = true
				set++
			}
		}
		name := call("Names", octet).([]string)
		if set != len(name) || set > 1 {
			t.Errorf("%v: bit %#02x sets %d members, and its names are %q", flags, octet, set, name)
		}
		if back := call("Encode", decoded); set > 0 && back != octet || set == 0 && back != uint8(0) {
			t.Errorf("%v: bit %#02x is encoded as %#02x", flags, octet, back)
		}
		names = append(names, name...)
	}
	if len(read) != flags.NumField() {
		t.Errorf("%v: only %v have bits", flags, read)
	}
	if slices.Sort(names); len(slices.Compact(names)) != len(names) {
		t.Errorf("%v: two bits have the same name: %q", flags, names)
	}
}

func TestPreference(t *testing.T) {
	for octet := range 256 {
		if got := EncodePreference(DecodePreference(uint8(octet))); got != uint8(octet)&PreferenceMask {
			t.Errorf("the preference in %#02x is encoded as %#02x", octet, got)
		}
	}
}
