package main

import (
	"encoding/json"
	"sort"
	"strconv"
	"strings"
)

// settings reads keys one by one and collects what is wrong with them, so that an owner hears of every mistake
// at once. An unknown key is a mistake, because it is most often a misspelt one.
type settings struct {
	values   map[string]any
	known    map[string]bool
	problems [][2]string
}

func readSettings(input *Snapshot) *settings {
	s := &settings{known: map[string]bool{}}
	var document any
	if len(input.Target.Settings) > 0 {
		// It is part of a document that was read already.
		_ = json.Unmarshal(input.Target.Settings, &document)
	}
	values, isObject := document.(map[string]any)
	if document != nil && !isObject {
		s.problems = append(s.problems, [2]string{"", "settings must be an object"})
	}
	s.values = values
	return s
}

func (s *settings) value(key string) any {
	s.known[key] = true
	return s.values[key]
}

func (s *settings) wrong(key, expected string) {
	s.problems = append(s.problems, [2]string{key, key + " must be " + expected})
}

func (s *settings) text(key string) string {
	text, _ := s.value(key).(string)
	if text == "" {
		s.wrong(key, "a text that is not empty")
	}
	return text
}

func (s *settings) positive(key string) float64 {
	number, _ := s.value(key).(float64)
	if !(number > 0) {
		s.wrong(key, "a number above 0")
		return 1
	}
	return number
}

// word is one of several; the first is the default.
func (s *settings) word(key string, words ...string) string {
	value := s.value(key)
	if value == nil {
		return words[0]
	}
	for _, word := range words {
		if value == word {
			return word
		}
	}
	s.wrong(key, "one of "+strings.Join(words, ", "))
	return words[0]
}

func (s *settings) durationMs(key string, otherwise uint64) uint64 {
	value := s.value(key)
	if value == nil {
		return otherwise
	}
	text, _ := value.(string)
	duration, ok := durationMs(text)
	if !ok {
		s.wrong(key, "a duration from 1s to 24h, such as 30s, 5m or 2h")
		return otherwise
	}
	return duration
}

func durationMs(text string) (uint64, bool) {
	if len(text) < 2 || len(text) > 7 {
		return 0, false
	}
	units := map[byte]uint64{'s': 1000, 'm': 60_000, 'h': 3_600_000}
	unit, known := units[text[len(text)-1]]
	number, ok := digits(text[:len(text)-1])
	duration := number * unit
	return duration, known && ok && duration >= 1000 && duration <= 86_400_000
}

// digits reads a whole number without sign.
func digits(text string) (uint64, bool) {
	for _, char := range []byte(text) {
		if char < '0' || char > '9' {
			return 0, false
		}
	}
	number, err := strconv.ParseUint(text, 10, 64)
	return number, err == nil
}

func (s *settings) finish() *Refusal {
	for key := range s.values {
		if !s.known[key] {
			s.problems = append(s.problems, [2]string{key, key + " is not a setting of this policy"})
		}
	}
	if len(s.problems) == 0 {
		return nil
	}
	sort.Slice(s.problems, func(a, b int) bool {
		left, right := s.problems[a], s.problems[b]
		return left[0] < right[0] || left[0] == right[0] && left[1] < right[1]
	})
	sentences := make([]string, 0, len(s.problems))
	for _, problem := range s.problems {
		sentences = append(sentences, problem[1])
	}
	return refuse("BadSettings", strings.Join(sentences, "; "))
}
