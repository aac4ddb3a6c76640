package meter_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"smgw/meter"
	"smgw/meter/sim"
)

// computer has USB readers plugged in, as sysfs and /dev show them.
type computer struct {
	*meter.Ports
	t       *testing.T
	plugged int
	readers map[string]plugged // by tty
}

type plugged struct {
	port   *sim.Port
	device string // its folder in sysfs
}

func newComputer(t *testing.T) *computer {
	dir := t.TempDir()
	c := &computer{Ports: &meter.Ports{Sys: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev")}, t: t, readers: map[string]plugged{}}
	require.NoError(t, os.MkdirAll(filepath.Join(c.Sys, "class/tty"), 0o755))
	require.NoError(t, os.Mkdir(c.Dev, 0o755))
	t.Cleanup(func() {
		for tty := range c.readers {
			c.unplug(tty)
		}
	})
	return c
}

// plug plugs a reader with a USB serial number, "" for none, in as a tty.
func (c *computer) plug(tty, serial string) *sim.Port {
	c.plugged++
	device := filepath.Join(c.Sys, "devices/usb1", fmt.Sprintf("1-%d", c.plugged))
	for name, text := range map[string]string{"idVendor": "10c4", "idProduct": "ea60", "manufacturer": "Silicon Labs", "product": "CP2104", "serial": serial} {
		if text != "" {
			c.write(filepath.Join(device, name), text+"\n")
		}
	}
	return c.face(tty, device, "00")
}

// face gives a plugged adapter a port.
func (c *computer) face(tty, device, number string) *sim.Port {
	face := filepath.Join(device, filepath.Base(device)+":1."+number)
	c.write(filepath.Join(face, "bInterfaceNumber"), number+"\n")
	class := filepath.Join(face, tty, "tty", tty)
	require.NoError(c.t, os.MkdirAll(class, 0o755))
	require.NoError(c.t, os.Symlink("../../../"+tty, filepath.Join(class, "device")))
	require.NoError(c.t, os.Symlink(class, filepath.Join(c.Sys, "class/tty", tty)))
	port, err := sim.OpenPort()
	require.NoError(c.t, err)
	require.NoError(c.t, port.Link(filepath.Join(c.Dev, tty)))
	c.readers[tty] = plugged{port, device}
	return port
}

func (c *computer) write(path, text string) {
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(text), 0o644))
}

func (c *computer) unplug(tty string) {
	r := c.readers[tty]
	delete(c.readers, tty)
	require.NoError(c.t, os.Remove(filepath.Join(c.Sys, "class/tty", tty)))
	require.NoError(c.t, os.RemoveAll(r.device))
	require.NoError(c.t, r.port.Close()) // and with it its link
}

// line is a line of this computer's; name is a tty or "usb:…".
func (c *computer) line(name string) *meter.Line {
	if filepath.Base(name) == name && name[:4] != "usb:" {
		name = "serial:" + filepath.Join(c.Dev, name)
	}
	source, err := c.ParseSource(name)
	require.NoError(c.t, err)
	return &meter.Line{Source: source}
}

func (c *computer) say(p *sim.Port) {
	_, err := p.Write(telegrams(1))
	require.NoError(c.t, err)
}

func TestReadersAreListedWithWhatTheySayOfThemselves(t *testing.T) {
	c := newComputer(t)
	require.Empty(t, c.Readers())
	c.plug("ttyUSB0", "A50285BI")
	c.plug("ttyACM0", "")
	c.plug("ttyUSB1", "FT4X")
	c.face("ttyUSB2", c.readers["ttyUSB1"].device, "01") // an adapter with two ports
	c.write(filepath.Join(c.Sys, "class/tty/ttyS0/dev"), "4:64\n")
	c.write(filepath.Join(c.Sys, "class/tty/ttyUSB9/dev"), "188:9\n") // not of USB, whatever it is

	var all []string
	for _, r := range c.Readers() {
		require.Equal(t, "CP2104", r.Product)
		all = append(all, r.Name+" "+filepath.Base(r.Port))
	}
	require.Equal(t, []string{"usb:A50285BI ttyUSB0", "usb:FT4X-if00 ttyUSB1", "usb:FT4X-if01 ttyUSB2", " ttyACM0"}, all)
	require.Equal(t, "usb:A50285BI at "+c.Dev+"/ttyUSB0 (Silicon Labs CP2104)", c.Readers()[0].String())

	where := func(name string) (string, error) {
		path, ok, err := c.Where(c.line(name).Source)
		require.True(t, ok)
		return filepath.Base(path), err
	}
	for name, want := range map[string]string{"usb:A50285BI": "ttyUSB0", "usb:FT4X-if01": "ttyUSB2", "ttyACM0": "ttyACM0"} {
		path, err := where(name)
		require.NoError(t, err)
		require.Equal(t, want, path)
	}
	_, err := where("usb:FT4X")
	require.ErrorContains(t, err, "several ports (usb:FT4X-if00 at ")
	_, err = where("usb:B7")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "no reader with the USB serial number B7 is plugged in; plugged in: usb:A50285BI at ")
	_, err = where("ttyUSB7")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "ttyUSB7: no such file or directory; plugged in: ")

	network, err := c.ParseSource("tcp://127.0.0.1:2000")
	require.NoError(t, err)
	_, ok, err := c.Where(network)
	require.False(t, ok)
	require.NoError(t, err)
}

// A reader comes back under another name, whether it was named by its serial
// number or by the path at which it was found first.
func TestAReaderIsFoundAgainUnderAnotherName(t *testing.T) {
	for _, name := range []string{"usb:A50285BI", "ttyUSB0"} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			c := newComputer(t)
			line := c.line(name)
			stop := run(t, line, ignore)
			for i, tty := range []string{"ttyUSB0", "ttyACM3", "ttyUSB0"} {
				port := c.plug(tty, "A50285BI")
				c.say(port)
				until(t, "a telegram at "+tty, func() bool { return line.State().Telegrams == int64(i+1) })
				if at := filepath.Join(c.Dev, tty); tty == name {
					require.Empty(t, line.State().At)
				} else {
					require.Equal(t, at, line.State().At)
				}
				c.unplug(tty)
				until(t, "it sees that the port is gone", func() bool { return !line.State().Open })
			}
			require.ErrorIs(t, stop(), context.Canceled)
		})
	}
}

// Two readers change names: each line follows its own.
func TestTwoReadersThatChangeNamesKeepTheirLines(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := newComputer(t)
	house, roof := c.line("ttyUSB0"), c.line("ttyUSB1")
	stopHouse, stopRoof := run(t, house, ignore), run(t, roof, ignore)
	both := func(a, b *sim.Port, count int64) {
		c.say(a)
		c.say(b)
		c.say(b)
		until(t, "the house's telegram", func() bool { return house.State().Telegrams == count })
		until(t, "the roof's telegrams", func() bool { return roof.State().Telegrams == 2*count })
	}
	both(c.plug("ttyUSB0", "HOUSE"), c.plug("ttyUSB1", "ROOF"), 1)

	c.unplug("ttyUSB0")
	c.unplug("ttyUSB1")
	port := c.plug("ttyUSB0", "ROOF") // first, and alone: the house must not take it
	until(t, "the roof has its reader", func() bool { return roof.State().Open && filepath.Base(roof.State().At) == "ttyUSB0" })
	require.False(t, house.State().Open)
	both(c.plug("ttyUSB1", "HOUSE"), port, 2)
	require.ErrorIs(t, stopHouse(), context.Canceled)
	require.ErrorIs(t, stopRoof(), context.Canceled)
}

func TestAnotherLinesReaderIsNotTaken(t *testing.T) {
	c := newComputer(t)
	c.plug("ttyUSB1", "ROOF")
	roof, err := c.line("ttyUSB1").Source.Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, roof.Close())
	c.unplug("ttyUSB1")
	c.plug("ttyUSB0", "ROOF")
	_, err = c.line("ttyUSB0").Source.Open(t.Context())
	require.ErrorContains(t, err, "ttyUSB0 is now the reader with the USB serial number ROOF, which is that of serial:"+c.Dev+"/ttyUSB1; plugged in: usb:ROOF")
}

// Cheap adapters have the same serial number, or none: they are not followed.
func TestReadersThatCannotBeToldApartStayAtTheirNames(t *testing.T) {
	c := newComputer(t)
	c.plug("ttyUSB0", "0001")
	c.plug("ttyUSB1", "0001")
	c.plug("ttyUSB2", "")
	for _, tty := range []string{"ttyUSB0", "ttyUSB1", "ttyUSB2"} {
		source := c.line(tty).Source
		port, err := source.Open(t.Context())
		require.NoError(t, err)
		require.NoError(t, port.Close())
		c.unplug(tty)
		_, err = source.Open(t.Context())
		require.ErrorIs(t, err, fs.ErrNotExist, tty)
	}
	for _, r := range c.Readers() {
		require.Empty(t, r.Name)
	}
}

// A new reader in the place of a broken one is taken.
func TestAReaderThatWasExchangedIsTaken(t *testing.T) {
	c := newComputer(t)
	source := c.line("ttyUSB0").Source
	for _, serial := range []string{"OLD", "NEW"} {
		c.plug("ttyUSB0", serial)
		port, err := source.Open(t.Context())
		require.NoError(t, err)
		require.NoError(t, port.Close())
		c.unplug("ttyUSB0")
	}
	c.plug("ttyUSB5", "NEW")
	port, err := source.Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, port.Close())
}

// As root a busy port can be opened, so it is not left to the kernel.
func TestAPortHasOneReader(t *testing.T) {
	c := newComputer(t)
	c.plug("ttyUSB0", "A50285BI")
	first, err := c.line("ttyUSB0").Source.Open(t.Context())
	require.NoError(t, err)
	_, err = c.line("usb:A50285BI").Source.Open(t.Context())
	var busy *meter.BusyError
	require.ErrorAs(t, err, &busy)
	require.ErrorContains(t, err, "busy: this agent, for another meter, as serial:"+c.Dev+"/ttyUSB0, has it open")
	require.NoError(t, first.Close())
	second, err := c.line("usb:A50285BI").Source.Open(t.Context())
	require.NoError(t, err, "it is given back")
	require.NoError(t, second.Close())
}
