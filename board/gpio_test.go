package board_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/warthog618/go-gpiocdev"

	"smgw/board"
)

func TestBoardWithoutLampsIsDark(t *testing.T) {
	lamps, err := board.Open(board.Config{})
	require.NoError(t, err)
	require.NoError(t, lamps.Show(board.ReaderSilent))
	require.NoError(t, lamps.Close())
	require.NoError(t, board.Probe(board.Config{}))
}

// Whatever is wrong with a chip, the caller learns it and gets lamps to go on with.
func TestChipsThatAreNone(t *testing.T) {
	dev := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dev, "file"), nil, 0o600))
	require.NoError(t, os.Symlink("/dev/null", filepath.Join(dev, "null")))
	require.NoError(t, os.Symlink("loop", filepath.Join(dev, "loop")))
	for name, c := range map[string]struct {
		chip string
		want error
		text string
	}{
		"absent":                        {"gpiochip99", board.ErrNoChip, "gpio chip gpiochip99: no such chip ("},
		"a file":                        {"file", board.ErrNotChip, "gpio chip file: not a gpio chip (gpiodetect lists the chips)"},
		"a folder":                      {dev, board.ErrNotChip, "not a gpio chip"},
		"another device behind a link":  {"null", board.ErrNotChip, "gpio chip null: not a gpio chip"},
		"another device by its path":    {"/dev/null", board.ErrNotChip, "gpio chip /dev/null: not a gpio chip"},
		"a link that leads back itself": {"loop", nil, "gpio chip loop: "},
	} {
		t.Run(name, func(t *testing.T) {
			config := board.Config{Chip: c.chip, Dev: dev, Lamps: []board.Lamp{{Line: board.LineName("STATUS")}}}
			lamps, err := board.Open(config)
			require.ErrorContains(t, err, c.text)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			var typed *board.Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, c.chip, typed.Chip)
			require.NoError(t, lamps.Show(board.ReaderSilent))
			require.NoError(t, lamps.Close())

			require.Equal(t, err.Error(), board.Probe(config).Error())
		})
	}
}

func TestChipThatMayNotBeReached(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may reach everything")
	}
	dev := filepath.Join(t.TempDir(), "dev")
	require.NoError(t, os.Mkdir(dev, 0))
	_, err := board.Open(board.Config{Chip: "gpiochip0", Dev: dev, Lamps: []board.Lamp{{}}})
	require.ErrorIs(t, err, board.ErrPermission)
}

// The kernel's simulated chip (module gpio-sim) or any chip with a line that
// may be taken, named by SMGW_TEST_GPIOCHIP: it sets the chip's line 0.
func TestRealChip(t *testing.T) {
	name := os.Getenv("SMGW_TEST_GPIOCHIP")
	if name == "" {
		t.Skipf("SMGW_TEST_GPIOCHIP names no chip whose line 0 may be used (chips here: %v)", gpiocdev.Chips())
	}
	config := board.Config{Chip: name, Lamps: []board.Lamp{{Line: board.LineOffset(0)}}}
	require.NoError(t, board.Probe(config))
	lamps, err := board.Open(config)
	require.NoError(t, err)
	defer lamps.Close()
	info := lineInfo(t, name)
	require.True(t, info.Used)
	require.Equal(t, "smgw", info.Consumer)
	require.Equal(t, gpiocdev.LineDirectionOutput, info.Config.Direction)

	_, err = board.Open(config)
	require.ErrorIs(t, err, board.ErrBusy)
	require.ErrorContains(t, err, "smgw")

	config.Lamps[0].Line = board.LineOffset(1 << 15)
	_, err = board.Open(config)
	require.ErrorIs(t, err, board.ErrNoLine)
	config.Lamps[0].Line = board.LineName("no such line")
	_, err = board.Open(config)
	require.ErrorIs(t, err, board.ErrNoLine)
	require.ErrorIs(t, board.Probe(config), board.ErrNoLine)
}

func lineInfo(t *testing.T, chip string) gpiocdev.LineInfo {
	c, err := gpiocdev.NewChip(chip)
	require.NoError(t, err)
	defer c.Close()
	info, err := c.LineInfo(0)
	require.NoError(t, err)
	return info
}
