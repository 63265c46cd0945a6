package main

import (
	"fmt"
	"math"
	"strings"
)

// recall is what was wanted lately, kept in the policy's state from one evaluation to the next.
//
// Of the wishes in a window only those can ever matter again that no later one exceeds: the state stays small
// whatever the window. A lost state, and one of another boot, counts as "the present size was wanted until
// now": waits begin again, they never get shorter.
//
// A wish stands until the next one. Where evaluations are further apart than the window, the last wish has
// therefore stood in all of it, and two in a row have to agree. Only a silence, more than twice as long as the
// evaluations were apart before it, begins the window again: what was wanted in it nobody knows.
type recall struct {
	// usualMs is how far apart the last two evaluations were; 0 where that is not known.
	usualMs uint64
	// lastMs is when the last evaluation was; nil where there was none.
	lastMs   *uint64
	up, down []wished
}

// wished says when, in milliseconds since boot, how many members were wanted.
type wished struct {
	atMs    uint64
	members uint32
}

// recallVersion says which layout the text has.
const recallVersion = "2"

// silence is how many times the usual gap may pass: one evaluation may be missed.
const silence = 2

// mostWishes are kept for each direction.
const mostWishes = 64

func readRecall(input *Snapshot) *recall {
	lost := &recall{}
	if input.State == nil {
		return lost
	}
	parts := strings.SplitN(*input.State, ";", 6)
	if len(parts) != 6 || parts[0] != recallVersion || parts[5] != input.Now.Boot {
		return lost
	}
	lastMs, lastOk := digits(parts[1])
	usualMs, usualOk := digits(parts[2])
	up, upOk := parseWishes(parts[3], input.Now.MonoMs)
	down, downOk := parseWishes(parts[4], input.Now.MonoMs)
	if !lastOk || !usualOk || !upOk || !downOk || lastMs > input.Now.MonoMs {
		return lost
	}
	return &recall{usualMs, &lastMs, up, down}
}

func (r *recall) text(input *Snapshot) string {
	usualMs := uint64(0)
	if r.lastMs != nil {
		usualMs = input.Now.MonoMs - *r.lastMs
		if usualMs == 0 {
			// The same moment once more is no evaluation of its own.
			usualMs = r.usualMs
		}
	}
	return fmt.Sprintf("%s;%d;%d;%s;%s;%s",
		recallVersion, input.Now.MonoMs, usualMs, join(r.up), join(r.down), input.Now.Boot)
}

// standing is what stood until now where nothing was wished in the window: the last wish, or after a silence the
// goal.
func (r *recall) standing(wishes []wished, nowMs uint64, goal uint32) wished {
	if len(wishes) > 0 {
		last := wishes[len(wishes)-1]
		if r.usualMs > math.MaxUint64/silence || nowMs-last.atMs <= r.usualMs*silence {
			return wished{nowMs, last.members}
		}
	}
	return wished{nowMs, goal}
}

// extreme adds the present wish and gives the first that counts, which is the extreme one.
func extreme(wishes *[]wished, nowMs, windowMs uint64, otherwise wished, wanted uint32,
	isSettledBy func(earlier, later uint32) bool) uint32 {
	kept := make([]wished, 0, len(*wishes)+2)
	for _, wish := range *wishes {
		if nowMs-wish.atMs < windowMs {
			kept = append(kept, wish)
		}
	}
	*wishes = kept
	if windowMs == 0 {
		return wanted
	}
	if len(kept) == 0 {
		kept = append(kept, otherwise)
	}
	for len(kept) > 0 && isSettledBy(kept[len(kept)-1].members, wanted) {
		kept = kept[:len(kept)-1]
	}
	kept = append(kept, wished{nowMs, wanted})
	if len(kept) > mostWishes {
		// The two oldest become one, the more careful number at the later time.
		kept[1].members = kept[0].members
		kept = kept[1:]
	}
	*wishes = kept
	return kept[0].members
}

func join(wishes []wished) string {
	parts := make([]string, 0, len(wishes))
	for _, wish := range wishes {
		parts = append(parts, fmt.Sprintf("%d=%d", wish.atMs, wish.members))
	}
	return strings.Join(parts, ",")
}

func parseWishes(text string, nowMs uint64) ([]wished, bool) {
	if text == "" {
		return nil, true
	}
	var wishes []wished
	for _, part := range strings.Split(text, ",") {
		at, count, found := strings.Cut(part, "=")
		atMs, atOk := digits(at)
		members, membersOk := digits(count)
		if !found || !atOk || !membersOk || members > math.MaxUint32 || atMs > nowMs ||
			len(wishes) == mostWishes {
			return nil, false
		}
		wishes = append(wishes, wished{atMs, uint32(members)})
	}
	return wishes, true
}
