package main

import (
	"fmt"
	"math"
	"strings"
)

// demand is what is watched, and what it should be.
type demand struct {
	signal, kind, aggregate string
	samples                 *Signal
	target                  float64
	windowMs                uint64
}

// Quotients of decimal numbers miss whole numbers by a hair; this much is not demand.
const hair = 1e-9

// No system has more members; what asks for more is clamped by the owner's maximum anyway.
const most = 1_000_000.0

func readDemand(input *Snapshot) (*demand, *Refusal) {
	settings := readSettings(input)
	d := &demand{
		signal:    settings.text("signal"),
		target:    settings.positive("target"),
		kind:      settings.word("type", "Value", "AverageValue"),
		aggregate: settings.word("aggregate", "avg", "max", "last"),
		windowMs:  settings.durationMs("window", 120_000),
	}
	if refusal := settings.finish(); refusal != nil {
		return nil, refusal
	}
	d.samples = input.Signals[d.signal]
	if d.samples == nil {
		return nil, refuse("NoMetrics", "the target has no signal "+d.signal)
	}
	return d, usable(d.signal, d.samples)
}

func usable(name string, signal *Signal) *Refusal {
	var code, what string
	switch signal.State {
	case Ok, Partial:
		return nil
	case Stale:
		code, what = "StaleMetrics", "stale"
	case Absent:
		code, what = "NoMetrics", "absent"
	case NotANumber:
		code, what = "InvalidMetrics", "not a number"
	case Malformed:
		code, what = "InvalidMetrics", "malformed"
	case Ambiguous:
		code, what = "AmbiguousMetrics", "ambiguous"
	case Skewed:
		code, what = "SkewedMetrics", "from the future"
	case Unavailable:
		code, what = "MetricsUnavailable", "unavailable"
	}
	message := "signal " + name + " is " + what
	if signal.Detail != "" {
		message += ": " + signal.Detail
	}
	return refuse(code, message)
}

// wanted is the smallest number of members that brings the signal to its target, the present one within
// tolerance.
//
// A product that is added to something might be fused into one more exact step on some machines; here no
// product is.
func (d *demand) wanted(input *Snapshot, size uint32, pace *pace) (uint32, *why, *Refusal) {
	value, refusal := d.value(input)
	if refusal != nil {
		return 0, nil, refusal
	}
	exact, ratio := float64(size)*value/d.target, value/d.target
	if d.kind == "AverageValue" {
		exact, ratio = value/d.target, value/(d.target*float64(size))
	}
	head := fmt.Sprintf("%s of %s over %d s is %s, target %s: ",
		d.aggregate, d.signal, d.windowMs/1000, decimal(value), decimal(d.target))
	if size > 0 && ratio <= 1.0+pace.up.tolerance+hair && ratio >= 1.0-pace.down.tolerance-hair {
		return size, &why{message: fmt.Sprintf("%swithin tolerance, there are %d", head, size)}, nil
	}
	members := uint32(math.Min(math.Max(math.Ceil(exact-hair), 0), most))
	return members, &why{message: fmt.Sprintf("%sasks for %d, there are %d", head, members, size)}, nil
}

// value is the aggregate of the samples in the window. A figure a member that was measured with another number
// of members says nothing about the present one: it does not count.
func (d *demand) value(input *Snapshot) (float64, *Refusal) {
	samples := d.samples.Samples
	if len(samples) == 0 {
		return 0, refuse("NoMetrics", "signal "+d.signal+" has no samples")
	}
	newest := samples[0].AtMs
	for _, sample := range samples {
		newest = max(newest, sample.AtMs)
	}
	if newest < input.Now.WallMs-int64(d.windowMs) {
		return 0, refuse("StaleMetrics",
			fmt.Sprintf("signal %s has no sample of the last %d s", d.signal, d.windowMs/1000))
	}
	settledMs := d.windowMs
	if d.kind == "Value" {
		settledMs = min(settledMs, input.Sizes.Members.StableMs)
	}
	first := input.Now.WallMs - int64(settledMs)
	values := make([]float64, 0, len(samples))
	for _, sample := range samples {
		if sample.AtMs >= first {
			values = append(values, sample.Value)
		}
	}
	if len(values) == 0 {
		return 0, refuse("SizeChanged",
			"signal "+d.signal+" has no sample since the number of members changed")
	}
	for _, value := range values {
		if value < 0 {
			return 0, refuse("InvalidMetrics",
				"signal "+d.signal+" has a sample that is negative or not a number")
		}
	}
	return aggregate(d.aggregate, values), nil
}

// aggregate sums from the oldest to the newest: the order is part of the result.
func aggregate(word string, values []float64) float64 {
	sum, highest := 0.0, 0.0
	for _, value := range values {
		sum += value
		highest = math.Max(highest, value)
	}
	switch word {
	case "max":
		return highest
	case "last":
		return values[len(values)-1]
	default:
		return sum / float64(len(values))
	}
}

// places is the most decimals of a number for people.
const places = 12

// decimal writes a number for people, alike in every language: three decimals, and of a small one three digits that
// count.
func decimal(value float64) string {
	digits, power := 3, uint64(1000)
	for value > 0 && value*float64(power) < 100 && digits < places {
		digits, power = digits+1, power*10
	}
	scaled := math.Round(value * float64(power))
	if scaled >= 1e15 {
		return "more than 10^12"
	}
	parts := uint64(scaled)
	if parts == 0 && value > 0 {
		return "less than 10^-12"
	}
	text := fmt.Sprintf("%d.%0*d", parts/power, digits, parts%power)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
