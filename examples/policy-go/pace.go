package main

import (
	"fmt"
	"math"
	"strings"
)

// pace is how fast the target may follow: the HPA's behavior, with defaults that suit data, and the size that
// the target is on its way to.
type pace struct {
	up, down direction
	goal     uint32
}

type direction struct {
	tolerance float64
	windowMs  uint64
	rates     []Rate
	choice    Select
}

func readPace(input *Snapshot) (*pace, *Refusal) {
	behavior := input.Target.Behavior
	var problems []string
	up := readDirection("scaleUp", &behavior.ScaleUp, 0,
		[]Rate{{Members, 4, 15}, {Percent, 100, 15}}, &problems)
	down := readDirection("scaleDown", &behavior.ScaleDown, 1800,
		[]Rate{{Members, 2, 3600}, {Percent, 10, 3600}}, &problems)
	if len(problems) > 0 {
		return nil, refuse("BadBehavior", strings.Join(problems, "; "))
	}
	switch input.Sizes.Members.State {
	case Unknown:
		return nil, refuse("UnknownSize", "the number of members is not known: "+input.Sizes.Members.Reason.Kind)
	case NotApplicable:
		return nil, refuse("UnknownSize", "the target has no number of members")
	}
	return &pace{up, down, goal(input)}, nil
}

func readDirection(name string, rules *Rules, windowS uint32, rates []Rate, problems *[]string) direction {
	wrong := func(format string, values ...any) {
		*problems = append(*problems, "behavior."+name+"."+fmt.Sprintf(format, values...))
	}
	tolerance := 0.1
	if rules.Tolerance != nil {
		tolerance = *rules.Tolerance
	}
	if !(tolerance >= 0 && tolerance <= 10) {
		wrong("tolerance must be from 0 to 10")
	}
	if rules.StabilizationWindowSeconds != nil {
		windowS = *rules.StabilizationWindowSeconds
	}
	if windowS > 86_400 {
		wrong("stabilizationWindowSeconds must be at most 86400")
	}
	for index, rate := range rules.Policies {
		if rate.PeriodSeconds == 0 {
			wrong("policies[%d].periodSeconds must be above 0", index)
		}
	}
	if len(rules.Policies) > 0 {
		rates = rules.Policies
	}
	choice := SelectMax
	if rules.SelectPolicy != nil {
		choice = *rules.SelectPolicy
	}
	return direction{tolerance, uint64(windowS) * 1000, rates, choice}
}

func goal(input *Snapshot) uint32 {
	if plan := input.Plan; plan != nil {
		switch plan.Status {
		case Awaiting, Running, Held:
			if leg := members(plan.Legs); leg != nil {
				return uint32(leg.To)
			}
		}
	}
	return input.Sizes.Members.Value
}

// limit is the wish as far as the rates let it go; never back past the goal.
func (p *pace) limit(input *Snapshot, size, wish uint32) uint32 {
	if wish > p.goal {
		least, most := p.up.limits(input, size, func(start uint64, rate Rate) uint64 {
			if rate.Type == Percent {
				return (start*(100+uint64(rate.Value)) + 99) / 100
			}
			return start + uint64(rate.Value)
		})
		limit := choose(p.up.choice, most, least, p.goal)
		return min(wish, max(limit, p.goal))
	}
	least, most := p.down.limits(input, size, func(start uint64, rate Rate) uint64 {
		if rate.Type == Percent {
			return start * uint64(100-min(rate.Value, 100)) / 100
		}
		return start - min(start, uint64(rate.Value))
	})
	limit := choose(p.down.choice, least, most, p.goal)
	return max(wish, min(limit, p.goal))
}

func choose(choice Select, widest, narrowest uint64, goal uint32) uint32 {
	switch choice {
	case SelectMax:
		return uint32(min(widest, math.MaxUint32))
	case SelectMin:
		return uint32(min(narrowest, math.MaxUint32))
	default:
		return goal
	}
}

// limits are the least and the most of where the rates end, each counted from the size at the start of its
// period.
func (d *direction) limits(input *Snapshot, size uint32, end func(uint64, Rate) uint64) (uint64, uint64) {
	least, most := uint64(math.MaxUint64), uint64(0)
	for _, rate := range d.rates {
		limit := end(uint64(sizeBefore(input, size, uint64(rate.PeriodSeconds)*1000)), rate)
		least, most = min(least, limit), max(most, limit)
	}
	return least, most
}

// sizeBefore is the size that a rate's period counts from. A change counts from its beginning, as the HPA counts
// from its decision: a move may take longer than the period, and would be held against the next one just when that
// is allowed at last. A plan of another boot is taken to have begun just now: the careful side of not knowing.
func sizeBefore(input *Snapshot, size uint32, periodMs uint64) uint32 {
	for _, change := range input.History.Changes {
		// Nothing ends before it begins: a beginning that is not told is the end.
		if max(change.AgeMs, change.BeganAgeMs) < periodMs && change.Leg.Dimension == "members" {
			return uint32(change.Leg.From)
		}
	}
	plan := input.Plan
	if plan == nil {
		return size
	}
	leg := members(plan.Legs)
	if leg == nil {
		return size
	}
	ageMs := input.Now.MonoMs - min(input.Now.MonoMs, plan.Started.MonoMs)
	if plan.Started.Boot == input.Now.Boot && ageMs >= periodMs {
		return size
	}
	return uint32(leg.From)
}
