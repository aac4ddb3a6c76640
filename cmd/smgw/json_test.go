package main

import (
	"encoding"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/buffer"
	"smgw/cmd/internal/control"
)

// names lists the JSON names of a type's fields and of all that lies below them.
func names(of reflect.Type, into map[string]bool) {
	text := reflect.TypeFor[encoding.TextMarshaler]()
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		names(of.Elem(), into)
	case reflect.Struct:
		if of.Implements(text) || reflect.PointerTo(of).Implements(text) {
			return
		}
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			if name != "" {
				into[name] = true
			}
			names(f.Type, into)
		}
	}
}

// What programs read has no name that its page leaves out.
func TestPagesNameWhatJSONHas(t *testing.T) {
	for page, objects := range map[string][]any{
		"json.md": {checked{}, shownIdentity{}, control.Item{}, control.ItemContent{}, control.JournalVerdict{}, buffer.Entry{}, buffer.Stats{}, control.StoreVerdict{},
			control.Compacted{}, control.Record{}, control.Event{}, control.Demanded{}, control.Imported{}, control.Farewell{}, control.Erased{}},
		"status.md": {control.Status{}},
	} {
		text, err := os.ReadFile("../../docs/" + page)
		require.NoError(t, err)
		if page == "status.md" { // of the end of the gateway's work json.md has the fields
			more, err := os.ReadFile("../../docs/json.md")
			require.NoError(t, err)
			text = append(text, more...)
		}
		for _, object := range objects {
			all := map[string]bool{}
			names(reflect.TypeOf(object), all)
			require.NotEmpty(t, all)
			for name := range all {
				require.Contains(t, string(text), "`"+name+"`", "docs/%s, of %T", page, object)
			}
		}
	}
}
