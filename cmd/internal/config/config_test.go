package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smgw/cmd/internal/config"
)

func TestExample(t *testing.T) {
	c, err := config.Load("../../../docs/smgw.example.toml")
	require.NoError(t, err)
	t.Logf("%+v", c)
}
