package sim

// dice are rolled by what is asked, not by what was rolled before: the same
// seed, question and number give the same answer for ever.
type dice uint64

// question is what a roll decides.
type question uint64

const (
	baseLoad question = iota
	fridgePeriod
	fridgePhase
	evening
	activity
	activityPower
	kettle
	lunch
	dinner
	stove
	washing
	drying
	dishes
	weather
	cloud
)

// roll returns a whole number from 0 to n − 1. It is SplitMix64, whose figures
// are fixed by its definition.
func (d dice) roll(q question, number, n int64) int64 {
	x := mix(uint64(d) + mix(uint64(q)<<48^uint64(number)))
	return int64(x>>1) % n
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance reports true in permille of 1000 cases.
func (d dice) chance(q question, number, permille int64) bool {
	return d.roll(q, number, 1000) < permille
}

// between returns a whole number from low to high, both included.
func (d dice) between(q question, number, low, high int64) int64 {
	return low + d.roll(q, number, high-low+1)
}

// year is something that goes with the seasons: its value in the middle of
// each month, from January on.
type year [12]int64

var (
	halfDay  = year{250, 300, 355, 415, 465, 495, 480, 435, 375, 315, 262, 238} // minutes from sunrise to noon, at 51° N
	sun      = year{340, 470, 620, 760, 830, 850, 840, 790, 690, 540, 390, 300} // permille of the panels' peak at a clear noon
	overcast = year{620, 540, 440, 360, 320, 300, 300, 290, 350, 450, 580, 660} // permille of the days
	heating  = year{70, 65, 50, 30, 10, 0, 0, 0, 10, 35, 55, 65}                // W of the circulation pump
)

// on returns the value on a day, on a straight line between the months. A year
// is 365.2425 days, so that the seasons never drift.
func (y *year) on(day int64) int64 {
	const length = 3652425
	at := (day*10000%length + length) % length * 12 // in months, times length
	at += length/2 + 10*length                      // the middle of December is 0, that of January 1
	month, part := at/length, at%length
	a, b := y[(month+1)%12], y[(month+2)%12]
	return a + (b-a)*part/length
}

// noon is the minute of the day at which the sun is highest, at 10° E.
const noon = 12*60 + 20

// Permille of the half hours of a day in which something more is switched on.
var (
	busyWorkday = [48]int64{
		150, 80, 40, 20, 20, 20, 20, 20, 20, 30, 60, 150, 400, 550, 500, 350, 250, 200, 180, 180, 180, 200, 250, 300,
		320, 300, 250, 220, 220, 250, 300, 350, 420, 480, 550, 620, 680, 700, 720, 740, 740, 720, 680, 620, 520, 420, 320, 220,
	}
	busyWeekend = [48]int64{
		220, 150, 90, 50, 30, 20, 20, 20, 20, 20, 30, 50, 100, 180, 280, 400, 500, 540, 540, 520, 520, 540, 560, 580,
		600, 580, 540, 500, 480, 480, 480, 500, 520, 540, 580, 620, 660, 680, 700, 720, 720, 700, 680, 640, 580, 500, 400, 300,
	}
)

// consume adds what the household's appliances draw.
func (h *Household) consume(d *day) {
	dice, n := h.dice, d.number
	base := dice.between(baseLoad, 0, 70, 140)
	period := dice.between(fridgePeriod, 0, 42, 66)
	phase := dice.roll(fridgePhase, 0, period)
	pump := heating.on(n)
	for m := range int64(minutes) {
		w := base
		if (n*minutes+m+phase)%period < period/3 {
			w += 85
		}
		if m >= 5*60+30 && m < 22*60+30 {
			w += pump
		}
		d.power[m] += int32(w)
	}

	busy := &busyWorkday
	if d.weekend {
		busy = &busyWeekend
	}
	for slot, permille := range busy {
		number := n*48 + int64(slot)
		if dice.chance(activity, number, permille) {
			d.run(int64(slot)*30, phases{{30, dice.between(activityPower, number, 60, 620)}})
		}
	}

	// Lights and a screen from dusk to bedtime.
	dusk, bed := noon+halfDay.on(n)-20, dice.between(evening, n, 22*60, 23*60+40)
	d.run(dusk, phases{{bed - dusk, dice.between(evening, n+1<<20, 110, 260)}})

	for i := range dice.between(kettle, n, 1, 5) {
		d.run(dice.between(kettle, n*8+i+1<<20, 6*60, 20*60), phases{{3, 2000}})
	}
	if dice.chance(lunch, n, map[bool]int64{false: 250, true: 750}[d.weekend]) {
		h.cook(d, dice.between(lunch, n+1<<20, 11*60+30, 12*60+45))
	}
	if dice.chance(dinner, n, 720) {
		h.cook(d, dice.between(dinner, n+1<<20, 17*60+45, 19*60+30))
	}
	if dice.chance(washing, n, map[bool]int64{false: 280, true: 550}[d.weekend]) {
		start := dice.between(washing, n+1<<20, 8*60, 17*60)
		d.run(start, phases{{5, 120}, {18, 2050}, {55, 210}, {12, 480}})
		if dice.chance(drying, n, 5*heating.on(n)+200) {
			d.run(start+100, phases{{65, 880}})
		}
	}
	if dice.chance(dishes, n, 640) {
		d.run(dice.between(dishes, n+1<<20, 19*60, 21*60), phases{{6, 90}, {16, 1950}, {35, 70}, {12, 1950}, {10, 20}})
	}
}

// cook runs a stove, whose thermostat switches from minute to minute.
func (h *Household) cook(d *day, start int64) {
	power := h.dice.between(stove, d.number*minutes+start, 1300, 2900)
	for m := start; m < start+h.dice.between(stove, d.number, 18, 42); m++ {
		if h.dice.chance(stove, d.number*minutes+m+1<<40, 550) {
			d.run(m, phases{{1, power}})
		}
	}
}

// phases is what an appliance does: minutes and watts, one after the other.
type phases [][2]int64

// run adds an appliance from a minute on; what is left at midnight is let be.
func (d *day) run(m int64, p phases) {
	for _, phase := range p {
		for end := m + phase[0]; m < end; m++ {
			if m < minutes {
				d.power[m] += int32(phase[1])
			}
		}
	}
}

// shine takes away what the roof gives: a parabola from sunrise to sunset under
// the day's clouds.
func (h *Household) shine(d *day) {
	n := d.number
	half, peak := halfDay.on(n), h.options.RoofPeak*sun.on(n)/1000
	sky := h.dice.roll(weather, n, 1000)
	dull := overcast.on(n)
	for m := noon - half; m < noon+half; m++ {
		x := m - noon
		power := peak * (half*half - x*x) / (half * half)
		switch {
		case sky < dull: // grey all day
			power = power * (80 + h.clouds(n*minutes+m, 30)*200/1000) / 1000
		case sky < dull+(1000-dull)*6/10: // sun and clouds
			power = power * (250 + h.clouds(n*minutes+m, 7)*750/1000) / 1000
		}
		d.power[m] -= int32(power)
	}
}

// clouds returns how much light comes through, in permille: at every width
// minutes another, on a straight line between.
func (h *Household) clouds(minute, width int64) int64 {
	node, part := minute/width, minute%width
	a, b := h.dice.roll(cloud, node, 1001), h.dice.roll(cloud, node+1, 1001)
	return a + (b-a)*part/width
}
