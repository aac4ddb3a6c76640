package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every field of a log message of the gateway's program has its meaning in the
// docs, so that the same thing has the same name everywhere.
func TestEveryFieldOfTheLogIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/log.md")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, folder := range []string{"internal/agent", "internal/cli", "smgw", "../meter", "../buffer", "../board", "../tls"} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				for _, field := range fieldsOf(call) {
					seen[field] = true
					require.Contains(t, string(doc), "`"+field+"`", "%s: a field that docs/log.md does not name", files.Position(call.Pos()))
				}
				return true
			})
			return nil
		}))
	}
	require.Contains(t, seen, "err")
	require.Contains(t, seen, "again_in")
}

// fieldsOf are the names of the fields that a call gives to a message: those of
// log.Warn("…", "err", err), log.With("meter", name) and slog.String("err", text).
func fieldsOf(call *ast.CallExpr) (fields []string) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	from := 1
	switch method.Sel.Name {
	case "Info", "Warn", "Error", "Debug":
		if len(call.Args) > 0 && text(call.Args[0]) == "" {
			return nil // http.Error and the like
		}
	case "With":
		from = 0
	case "String", "Int", "Duration", "Any", "Bool", "Time":
		if of, ok := method.X.(*ast.Ident); !ok || of.Name != "slog" {
			return nil
		}
		return []string{text(call.Args[0])}
	default:
		return nil
	}
	for i := from; i < len(call.Args); i++ {
		if field := text(call.Args[i]); field != "" {
			fields = append(fields, field)
			i++
		}
	}
	return fields
}

func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(literal.Value)
	return s
}
