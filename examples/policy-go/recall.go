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
type recall struct{ up, down []wished }

// wished says when, in milliseconds since boot, how many members were wanted.
type wished struct {
	atMs    uint64
	members uint32
}

// recallVersion says which layout the text has.
const recallVersion = "1"

// mostWishes are kept for each direction.
const mostWishes = 64

func readRecall(input *Snapshot) *recall {
	lost := &recall{}
	if input.State == nil {
		return lost
	}
	parts := strings.SplitN(*input.State, ";", 4)
	if len(parts) != 4 || parts[0] != recallVersion || parts[3] != input.Now.Boot {
		return lost
	}
	up, upOk := parseWishes(parts[1], input.Now.MonoMs)
	down, downOk := parseWishes(parts[2], input.Now.MonoMs)
	if !upOk || !downOk {
		return lost
	}
	return &recall{up, down}
}

func (r *recall) text(input *Snapshot) string {
	return recallVersion + ";" + join(r.up) + ";" + join(r.down) + ";" + input.Now.Boot
}

// extreme adds the present wish and gives the first that counts, which is the extreme one.
func extreme(wishes *[]wished, nowMs, windowMs uint64, goal, wanted uint32,
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
		kept = append(kept, wished{nowMs, goal})
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
