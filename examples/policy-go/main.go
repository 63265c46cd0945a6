// A Plimsoll policy in Go, as a WASI program: one snapshot as JSON on standard input, one answer as JSON on
// standard output. Standard library only; build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -o target-utilization-go.wasm .
//
// It is the shipped policy target-utilization once more, file by file, and gives the same bytes: the contract
// is not Rust's own.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail("reading the snapshot", err)
	}
	write(answer(input))
}

func write(output []byte) {
	if _, err := os.Stdout.Write(output); err != nil {
		fail("writing the answer", err)
	}
}

// What a program writes to standard error is the policy's log.
func fail(doing string, err error) {
	fmt.Fprintf(os.Stderr, "error: %s: %v\n", doing, err)
	os.Exit(1)
}

// answer gives the canonical bytes of the answer to a snapshot.
func answer(input []byte) []byte {
	var snapshot Snapshot
	err := json.Unmarshal(input, &snapshot)
	if err == nil && (snapshot.FormatVersion == nil || snapshot.Sizes.Members.State == "") {
		err = errors.New("formatVersion and sizes.members are required")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: reading the snapshot: %v\n", err)
		return refuse("UnreadableSnapshot", "the input is not a snapshot").bytes()
	}
	if *snapshot.FormatVersion != formatVersion {
		return refuse("UnknownFormat", fmt.Sprintf("the snapshot has version %d, this policy reads version %d",
			*snapshot.FormatVersion, formatVersion)).bytes()
	}
	proposal, refusal := evaluate(&snapshot)
	if refusal != nil {
		return refusal.bytes()
	}
	return proposal.bytes()
}

// evaluate is the policy: a pure function of the snapshot.
func evaluate(input *Snapshot) (*Proposal, *Refusal) {
	demand, refusal := readDemand(input)
	if refusal != nil {
		return nil, refusal
	}
	pace, refusal := readPace(input)
	if refusal != nil {
		return nil, refusal
	}
	size := input.Sizes.Members.Value
	wanted, why, refusal := demand.wanted(input, size, pace)
	if refusal != nil {
		return nil, refusal
	}
	recall := readRecall(input)
	members := decide(input, wanted, pace, recall, size, why)
	if demand.samples.State == Partial && members <= pace.goal {
		return nil, refuse("PartialMetrics", why.message+"; partial data may only make the target grow")
	}
	return &Proposal{members, why.code, why.message, demand.signal, recall.text(input)}, nil
}

// why is what is said of a wish: the code of the last rule that changed it, and a sentence that every rule adds
// to.
type why struct{ code, message string }

func (w *why) because(code, format string, values ...any) {
	w.code = code
	w.message += "; " + fmt.Sprintf(format, values...)
}

// decide keeps the HPA's order: bounds, stabilisation, rates, and bounds again.
func decide(input *Snapshot, wanted uint32, pace *pace, recall *recall, size uint32, why *why) uint32 {
	switch {
	case wanted > pace.goal:
		why.code = "DemandAboveTarget"
	case wanted < pace.goal:
		why.code = "DemandBelowTarget"
	default:
		why.code = "OnTarget"
	}
	bounded := withinBounds(input, wanted, why)
	steady := stabilised(input, bounded, pace, recall, why)
	paced := pace.limit(input, size, steady)
	if paced > steady {
		why.because("ScaleDownLimit", "scaleDown.policies allow %d for now", paced)
	} else if paced < steady {
		why.because("ScaleUpLimit", "scaleUp.policies allow %d for now", paced)
	}
	return withinBounds(input, paced, why)
}

func withinBounds(input *Snapshot, members uint32, why *why) uint32 {
	bounded := min(max(members, input.Target.Bounds.Members.Min), input.Target.Bounds.Members.Max)
	if bounded > members {
		why.because("AtMinimum", "the minimum is %d", bounded)
	} else if bounded < members {
		why.because("AtMaximum", "the maximum is %d", bounded)
	}
	return bounded
}

// stabilised is the goal, moved only as far as every wish in the window of its direction agrees.
func stabilised(input *Snapshot, wanted uint32, pace *pace, recall *recall, why *why) uint32 {
	now := input.Now.MonoMs
	least := extreme(&recall.up, now, pace.up.windowMs, recall.standing(recall.up, now, pace.goal), wanted,
		func(earlier, later uint32) bool { return earlier >= later })
	most := extreme(&recall.down, now, pace.down.windowMs, recall.standing(recall.down, now, pace.goal), wanted,
		func(earlier, later uint32) bool { return earlier <= later })
	steady := min(max(pace.goal, least), most)
	if steady > wanted {
		why.because("ScaleDownStabilized", "within the last %d s as many as %d were wanted",
			pace.down.windowMs/1000, most)
	} else if steady < wanted {
		why.because("ScaleUpStabilized", "within the last %d s as few as %d were wanted",
			pace.up.windowMs/1000, least)
	}
	return steady
}
