// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"
	"google.golang.org/protobuf/proto"
)

// Contents is what a profile says, in the words that a test checks.
type Contents struct {
	Types       []string          `json:"types"`
	PeriodType  string            `json:"period_type"`
	Period      int64             `json:"period"`
	TimeNanos   int64             `json:"time_nanos"`
	Duration    int64             `json:"duration_nanos"`
	Samples     []Sample          `json:"samples"`
	Comments    []string          `json:"comments"`
	BuildIDs    map[string]string `json:"build_ids"`
	Hashes      map[string]string `json:"hashes,omitempty"` // OTLP: htlhash
	Functions   int               `json:"functions"`
	HasFunction bool              `json:"has_functions"`
	Attributes  map[string]string `json:"attributes,omitempty"` // OTLP: of the profile
}

// Sample names its frames "function file:line", leaf first.
type Sample struct {
	Stack   []string            `json:"stack"`
	Values  []int64             `json:"values"`
	Labels  map[string][]string `json:"labels"`
	Numbers map[string][]int64  `json:"numbers"`

	FrameTypes []string `json:"frame_types,omitempty"` // OTLP: one a line of the stack
	Link       string   `json:"link,omitempty"`        // OTLP: trace/span
}

// decode reads a pprof file twice: as raw message, for what both servers demand of it, and by pprof itself.
func decode(raw []byte) (*Contents, int, error) {
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		reader, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, 0, err
		}
		if raw, err = io.ReadAll(io.LimitReader(reader, 64<<20)); err != nil {
			return nil, 0, err
		}
	}
	message := &googlev1.Profile{}
	if err := proto.Unmarshal(raw, message); err != nil {
		return nil, len(raw), err
	}
	if err := checkMessage(message); err != nil {
		return nil, len(raw), err
	}
	parsed, err := profile.ParseData(raw)
	if err != nil {
		return nil, len(raw), err
	}
	if err := parsed.CheckValid(); err != nil {
		return nil, len(raw), err
	}
	return contentsOf(parsed), len(raw), nil
}

func checkMessage(message *googlev1.Profile) error {
	if len(message.ProtoReflect().GetUnknown()) > 0 {
		return errors.New("unknown fields")
	}
	if len(message.SampleType) == 0 {
		return errors.New("no sample type")
	}
	if len(message.StringTable) == 0 || message.StringTable[0] != "" {
		return errors.New("string 0 must be empty")
	}
	for _, text := range message.StringTable {
		if !utf8.ValidString(text) {
			return fmt.Errorf("invalid utf8 string hex: %x", text)
		}
	}
	for _, kind := range message.SampleType {
		if strings.ContainsAny(message.StringTable[kind.Type], "-. ") {
			return fmt.Errorf("sample type %q", message.StringTable[kind.Type])
		}
	}
	for i, entry := range message.Mapping {
		if entry.Id != uint64(i)+1 {
			return errors.New("mapping id is not sequential")
		}
	}
	for i, entry := range message.Function {
		if entry.Id != uint64(i)+1 {
			return errors.New("function id is not sequential")
		}
	}
	for i, entry := range message.Location {
		if entry.Id != uint64(i)+1 {
			return errors.New("location id is not sequential")
		}
	}
	for _, sample := range message.Sample {
		for _, value := range sample.Value {
			if value < 0 {
				return errors.New("negative value")
			}
		}
	}
	return nil
}

func contentsOf(parsed *profile.Profile) *Contents {
	contents := &Contents{
		Period: parsed.Period, TimeNanos: parsed.TimeNanos, Duration: parsed.DurationNanos,
		Comments: parsed.Comments, BuildIDs: map[string]string{}, Functions: len(parsed.Function), HasFunction: true,
	}
	if parsed.PeriodType != nil {
		contents.PeriodType = parsed.PeriodType.Type + "/" + parsed.PeriodType.Unit
	}
	for _, kind := range parsed.SampleType {
		contents.Types = append(contents.Types, kind.Type+"/"+kind.Unit)
	}
	for _, mapping := range parsed.Mapping {
		contents.BuildIDs[mapping.File] = mapping.BuildID
		contents.HasFunction = contents.HasFunction && mapping.HasFunctions
	}
	for _, sample := range parsed.Sample {
		stack := []string{}
		for _, location := range sample.Location {
			for _, line := range location.Line {
				stack = append(stack, fmt.Sprintf("%s %s:%d", line.Function.Name, line.Function.Filename, line.Line))
			}
		}
		contents.Samples = append(contents.Samples, Sample{Stack: stack, Values: sample.Value, Labels: sample.Label, Numbers: sample.NumLabel})
	}
	return contents
}

func (r *receiver) list(w http.ResponseWriter, _ *http.Request) {
	r.Lock()
	defer r.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(r.records)
}
