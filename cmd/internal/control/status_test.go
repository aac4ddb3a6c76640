package control_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/control"
)

func TestEveryNameOfTheStatusIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/status.md")
	require.NoError(t, err)
	names := namesOf(reflect.TypeFor[control.Status]())
	require.Greater(t, len(names), 40)
	for _, name := range names {
		require.Contains(t, string(doc), "`"+name+"`")
	}
}

// namesOf are the JSON names of a type of ours and of what is in it.
func namesOf(t reflect.Type) (names []string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return namesOf(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	if !strings.HasPrefix(t.PkgPath(), "smgw/") {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
		names = append(names, namesOf(f.Type)...)
	}
	return names
}
