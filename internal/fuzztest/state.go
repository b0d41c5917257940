package fuzztest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// SameState fails unless two genesis states of one type are the same, field by field. Only this is left out: the order
// of a list, for an export has the order of its keys; whether what is empty is nil; the zone of a time; and the fields
// that are named, for a reason that the caller states.
func SameState(tb testing.TB, want, have any, except ...string) {
	tb.Helper()
	a, b := reflect.Indirect(reflect.ValueOf(want)), reflect.Indirect(reflect.ValueOf(have))
	if a.Type() != b.Type() {
		tb.Fatalf("a %s and a %s", a.Type(), b.Type())
	}
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if slices.Contains(except, name) {
			continue
		}
		x, y := lines(a.Field(i)), lines(b.Field(i))
		for j := range max(len(x), len(y)) {
			if j >= len(x) || j >= len(y) || x[j] != y[j] {
				tb.Errorf("%s has changed from %d entries to %d; the first that differs:\n%s\n%s", name, len(x), len(y), at(x, j), at(y, j))
				break
			}
		}
	}
}

func at(l []string, i int) string {
	if i < len(l) {
		return l[i]
	}
	return "(none)"
}

// lines returns the entries of a list in an order of their own, or the one value of another field.
func lines(v reflect.Value) (out []string) {
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() == reflect.Uint8 {
		return []string{text(v)}
	}
	for i := range v.Len() {
		out = append(out, text(v.Index(i)))
	}
	slices.Sort(out)
	return out
}

// text writes out a value with all that it refers to.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case fmt.Stringer:
		if v.Kind() == reflect.Struct && v.NumField() == 1 && !v.Type().Field(0).IsExported() {
			return number(x, v) // sdkmath.Int, LegacyDec
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return text(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%X", v.Interface())
		}
		s := "["
		for i := range v.Len() {
			s += text(v.Index(i)) + " "
		}
		return s + "]"
	case reflect.Struct:
		s := "{"
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				s += f.Name + ":" + text(v.Field(i)) + " "
			}
		}
		return s + "}"
	default:
		return fmt.Sprintf("%v", v.Interface())
	}
}

// number is a number of any size; none at all counts as zero, as it does once it has been stored.
func number(x fmt.Stringer, v reflect.Value) string {
	if p := v.Field(0); p.Kind() == reflect.Pointer && p.IsNil() {
		return "0"
	}
	return x.String()
}
