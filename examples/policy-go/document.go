package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The part of the documents that this policy reads and writes. Their JSON Schemas are published with Plimsoll.

const formatVersion = 2

// Snapshot is everything that is known of one target at one moment.
type Snapshot struct {
	FormatVersion *uint32 `json:"formatVersion"`
	Now           struct {
		MonoMs uint64 `json:"monoMs"`
		WallMs int64  `json:"wallMs"`
		Boot   string `json:"boot"`
	} `json:"now"`
	Target struct {
		Bounds struct {
			Members struct {
				Min uint32 `json:"min"`
				Max uint32 `json:"max"`
			} `json:"members"`
		} `json:"bounds"`
		Settings json.RawMessage `json:"settings"`
		Behavior struct {
			ScaleUp   Rules `json:"scaleUp"`
			ScaleDown Rules `json:"scaleDown"`
		} `json:"behavior"`
	} `json:"target"`
	Sizes struct {
		Members Size `json:"members"`
	} `json:"sizes"`
	History struct {
		Changes []struct {
			Leg        Leg    `json:"leg"`
			AgeMs      uint64 `json:"ageMs"`
			BeganAgeMs uint64 `json:"beganAgeMs"`
		} `json:"changes"`
	} `json:"history"`
	Plan *struct {
		Legs    []Leg      `json:"legs"`
		Status  PlanStatus `json:"status"`
		Started struct {
			Boot   string `json:"boot"`
			MonoMs uint64 `json:"monoMs"`
		} `json:"started"`
	} `json:"plan"`
	Signals map[string]*Signal `json:"signals"`
	State   *string            `json:"state"`
}

// Leg is a change of size in one dimension.
type Leg struct {
	Dimension string `json:"dimension"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
}

// members finds the leg that changes the number of members.
func members(legs []Leg) *Leg {
	for i := range legs {
		if legs[i].Dimension == "members" {
			return &legs[i]
		}
	}
	return nil
}

// Size is a fact: known, unknown with a reason, or not applicable.
type Size struct {
	State    Standing `json:"state"`
	Value    uint32   `json:"value"`
	StableMs uint64   `json:"stableMs"`
	Reason   struct {
		Kind string `json:"kind"`
	} `json:"reason"`
}

// Rules are the HPA's, for one direction.
type Rules struct {
	StabilizationWindowSeconds *uint32  `json:"stabilizationWindowSeconds"`
	Tolerance                  *float64 `json:"tolerance"`
	Policies                   []Rate   `json:"policies"`
	SelectPolicy               *Select  `json:"selectPolicy"`
}

// Rate is how much may change in how long.
type Rate struct {
	Type          RateKind `json:"type"`
	Value         uint32   `json:"value"`
	PeriodSeconds uint32   `json:"periodSeconds"`
}

// Signal is a named series.
type Signal struct {
	State   SignalState `json:"state"`
	Detail  string      `json:"detail"`
	Samples []Sample    `json:"samples"`
}

// Sample is one sample of a series.
type Sample struct {
	AtMs  int64   `json:"atMs"`
	Value float64 `json:"value"`
}

// Words that are not known make a snapshot unreadable: guessing at them would be a decision.
type (
	Standing    string
	Select      string
	RateKind    string
	PlanStatus  string
	SignalState string
)

const (
	Known         Standing    = "known"
	Unknown       Standing    = "unknown"
	NotApplicable Standing    = "not-applicable"
	SelectMax     Select      = "Max"
	SelectMin     Select      = "Min"
	Disabled      Select      = "Disabled"
	Members       RateKind    = "Members"
	Pods          RateKind    = "Pods"
	Percent       RateKind    = "Percent"
	Awaiting      PlanStatus  = "awaiting-approval"
	Running       PlanStatus  = "running"
	Held          PlanStatus  = "held"
	Stopping      PlanStatus  = "stopping"
	Done          PlanStatus  = "done"
	Aborted       PlanStatus  = "aborted"
	Ok            SignalState = "ok"
	Partial       SignalState = "partial"
	Stale         SignalState = "stale"
	Absent        SignalState = "absent"
	NotANumber    SignalState = "not-a-number"
	Malformed     SignalState = "malformed"
	Ambiguous     SignalState = "ambiguous"
	Skewed        SignalState = "skewed"
	Unavailable   SignalState = "unavailable"
)

func oneOf[T ~string](word *T, text []byte, words ...T) error {
	for _, known := range words {
		if string(known) == string(text) {
			*word = known
			return nil
		}
	}
	return fmt.Errorf("unknown word %q", text)
}

// UnmarshalText reads a known word.
func (w *Standing) UnmarshalText(text []byte) error {
	return oneOf(w, text, Known, Unknown, NotApplicable)
}

// UnmarshalText reads a known word.
func (w *Select) UnmarshalText(text []byte) error {
	return oneOf(w, text, SelectMax, SelectMin, Disabled)
}

// UnmarshalText reads a known word.
func (w *RateKind) UnmarshalText(text []byte) error { return oneOf(w, text, Members, Pods, Percent) }

// UnmarshalText reads a known word.
func (w *PlanStatus) UnmarshalText(text []byte) error {
	return oneOf(w, text, Awaiting, Running, Held, Stopping, Done, Aborted)
}

// UnmarshalText reads a known word.
func (w *SignalState) UnmarshalText(text []byte) error {
	return oneOf(w, text, Ok, Partial, Stale, Absent, NotANumber, Malformed, Ambiguous, Skewed, Unavailable)
}

// Proposal is what a policy wishes.
type Proposal struct {
	members                      uint32
	code, message, signal, state string
}

// Refusal is a policy's own "I cannot say": the target holds.
type Refusal struct{ code, message string }

func refuse(code, message string) *Refusal { return &Refusal{code, message} }

func (r *Refusal) bytes() []byte { return []byte(`{"refusal":{` + reason(r.code, r.message) + `}}`) }

// Fields in the order of the schema, without white space: the canonical form, of which digests are taken.
func (p *Proposal) bytes() []byte {
	return []byte(fmt.Sprintf(`{"sizes":{"members":%d},%s,"signals":[%s],"state":%s}`,
		p.members, reason(p.code, p.message), quote(p.signal), quote(p.state)))
}

func reason(code, message string) string {
	return `"reason":{"code":` + quote(code) + `,"message":` + quote(message) + `}`
}

// quote escapes what JSON demands and nothing else; encoding/json escapes more.
func quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, char := range text {
		switch char {
		case '"', '\\':
			out.WriteByte('\\')
			out.WriteRune(char)
		case '\b':
			out.WriteString(`\b`)
		case '\f':
			out.WriteString(`\f`)
		case '\n':
			out.WriteString(`\n`)
		case '\r':
			out.WriteString(`\r`)
		case '\t':
			out.WriteString(`\t`)
		default:
			if char < 0x20 {
				fmt.Fprintf(&out, `\u%04x`, char)
			} else {
				out.WriteRune(char)
			}
		}
	}
	out.WriteByte('"')
	return out.String()
}
