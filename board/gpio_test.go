package board_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	require.NoError(t, os.WriteFile(filepath.Join(dev, "gpiochip0"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dev, "gpiochip4"), nil, 0o600))
	for name, c := range map[string]struct {
		chip string
		want error
		text string
	}{
		"absent, but there are others":  {"gpiochip7", board.ErrNoChip, "gpio chip gpiochip7: no such chip (this computer has gpiochip0, gpiochip4)"},
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

// Any chip whose line 0 may be used, named by SMGW_TEST_GPIOCHIP. For the rest,
// whose other end the test must hold, it is a chip of the kernel's gpio-sim:
//
//	modprobe gpio-sim
//	cd /sys/kernel/config/gpio-sim && mkdir -p box/bank0 && echo 8 > box/bank0/num_lines && echo 1 > box/live
//	SMGW_TEST_GPIOCHIP=$(cat box/bank0/chip_name) go test ./board
//
// Each line then has a folder sim_gpioN in the chip's folder in /sys: writing
// pull-up or pull-down to pull is what stands before an input, value is what an
// output shows.
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

	simulated, _ := filepath.Glob("/sys/devices/platform/gpio-sim.*/" + name + "/sim_gpio*")
	if len(simulated) == 0 {
		t.Logf("%s is not gpio-sim: its button and reset line are not tried", name)
		return
	}
	root := filepath.Dir(simulated[0])
	t.Run("button", func(t *testing.T) { realButton(t, name, filepath.Join(root, "sim_gpio1", "pull")) })
	t.Run("reset", func(t *testing.T) { realReset(t, name, filepath.Join(root, "sim_gpio2", "value")) })
}

// realButton presses a contact between line 1 and ground.
func realButton(t *testing.T, chip, pull string) {
	config := board.Config{Chip: chip, Button: &board.Pin{Line: board.LineOffset(1), ActiveLow: true}}
	require.NoError(t, board.Probe(config))
	button, err := board.OpenButton(config)
	require.NoError(t, err)
	defer button.Close()
	require.Equal(t, "pull-up", readLine(t, pull), "the chip's own resistor holds the line")
	set := func(to string) { require.NoError(t, os.WriteFile(pull, []byte(to), 0)) }
	set("pull-down")
	time.Sleep(10 * board.Settle) // a finger's time
	set("pull-up")
	require.Equal(t, board.Short, <-button.Presses())
	set("pull-down")
	require.Equal(t, board.Long, <-button.Presses())
	set("pull-up")

	_, err = board.OpenButton(config)
	require.ErrorIs(t, err, board.ErrBusy)
}

// realReset watches what stands at line 2 while it is pulled low.
func realReset(t *testing.T, chip, value string) {
	config := board.Config{Chip: chip, Reset: &board.Pin{Line: board.LineOffset(2), ActiveLow: true}}
	require.NoError(t, board.Probe(config))
	reset, err := board.OpenReset(config)
	require.NoError(t, err)
	defer reset.Close()
	require.Equal(t, "1", readLine(t, value), "at rest")
	pulled := make(chan error)
	go func() { pulled <- reset.Pulse(t.Context()) }()
	require.Eventually(t, func() bool { return readLine(t, value) == "0" }, board.ResetPulse, time.Millisecond)
	require.NoError(t, <-pulled)
	require.Equal(t, "1", readLine(t, value))
}

func readLine(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// What is wrong with a chip is said of button and reset line too, and what is
// not configured is nil, and no error.
func TestButtonAndResetThatAreNone(t *testing.T) {
	button, err := board.OpenButton(board.Config{})
	require.NoError(t, err)
	require.Nil(t, button)
	reset, err := board.OpenReset(board.Config{})
	require.NoError(t, err)
	require.Nil(t, reset)

	config := board.Config{Chip: "gpiochip99", Dev: t.TempDir(), Button: &board.Pin{Line: board.LineOffset(1)}, Reset: &board.Pin{Line: board.LineName("RESET")}}
	button, err = board.OpenButton(config)
	require.ErrorIs(t, err, board.ErrNoChip)
	require.ErrorContains(t, err, "gpio chip gpiochip99: no such chip")
	require.Nil(t, button)
	reset, err = board.OpenReset(config)
	require.ErrorIs(t, err, board.ErrNoChip)
	require.Nil(t, reset)
	require.ErrorIs(t, board.Probe(config), board.ErrNoChip)
}

func lineInfo(t *testing.T, chip string) gpiocdev.LineInfo {
	c, err := gpiocdev.NewChip(chip)
	require.NoError(t, err)
	defer c.Close()
	info, err := c.LineInfo(0)
	require.NoError(t, err)
	return info
}
