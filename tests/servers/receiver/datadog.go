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
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/pprof/profile"
)

func (r *receiver) routeDatadog(routes *http.ServeMux) {
	handler := http.HandlerFunc(r.input)
	for _, path := range []string{"POST /profiling/v1/input", "POST /api/v2/profile"} {
		routes.HandleFunc(path, func(w http.ResponseWriter, request *http.Request) { r.play(w, request, handler) })
	}
}

// input is Datadog's intake, as its agent offers it, field by field what libdatadog sends there.
func (r *receiver) input(w http.ResponseWriter, request *http.Request) {
	record := request.Context().Value(recordKey{}).(*Record)
	if err := takeForm(record, request); err != nil {
		record.Error = err.Error()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	record.Accepted = true
	w.WriteHeader(http.StatusAccepted)
}

type event struct {
	Attachments    []string        `json:"attachments"`
	Tags           string          `json:"tags_profiler"`
	Start          string          `json:"start"`
	End            string          `json:"end"`
	Family         string          `json:"family"`
	Version        string          `json:"version"`
	EndpointCounts json.RawMessage `json:"endpoint_counts"`
	Internal       map[string]any  `json:"internal"`
	Info           map[string]any  `json:"info"`
}

var (
	eventTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$`)
	runtimeID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	families  = []string{"native", "python", "java"}
	types     = []string{"cpu-time/nanoseconds", "cpu-samples/count", "wall-time/nanoseconds", "alloc-samples/count", "alloc-space/bytes"}
	numeric   = []string{"span id", "local root span id", "thread id", "thread native id"}
)

func takeForm(record *Record, request *http.Request) error {
	for _, name := range []string{"Dd-Evp-Origin", "Dd-Evp-Origin-Version"} {
		if request.Header.Get(name) == "" {
			return fmt.Errorf("no header %s", name)
		}
	}
	form, err := request.MultipartReader()
	if err != nil {
		return err
	}
	parts := map[string][]byte{}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		want := map[string]string{"event": "event.json", "profile.pprof": "profile.pprof"}[part.FormName()]
		if want == "" || part.FileName() != want || parts[part.FormName()] != nil {
			return fmt.Errorf("part %q of file %q", part.FormName(), part.FileName())
		}
		if part.FormName() == "event" && part.Header.Get("Content-Type") != "application/json" {
			return errors.New("the event is no JSON")
		}
		if parts[part.FormName()], err = io.ReadAll(part); err != nil {
			return err
		}
	}
	if err := takeEvent(record, parts["event"]); err != nil {
		return err
	}
	return takePprof(record, parts["profile.pprof"])
}

func takeEvent(record *Record, raw []byte) error {
	said := &event{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(said); err != nil {
		return err
	}
	start, startErr := time.Parse(time.RFC3339Nano, said.Start)
	end, endErr := time.Parse(time.RFC3339Nano, said.End)
	switch {
	case !slices.Equal(said.Attachments, []string{"profile.pprof"}):
		return fmt.Errorf("attachments %v", said.Attachments)
	case said.Version != "4" || !slices.Contains(families, said.Family) || string(said.EndpointCounts) != "null":
		return fmt.Errorf("version %q, family %q, endpoint_counts %s", said.Version, said.Family, said.EndpointCounts)
	case !eventTime.MatchString(said.Start) || !eventTime.MatchString(said.End) || startErr != nil || endErr != nil || !start.Before(end):
		return fmt.Errorf("from %q to %q", said.Start, said.End)
	case !utf8.Valid(raw):
		return errors.New("not UTF-8")
	}
	record.Labels = map[string]string{"family": said.Family, "start": said.Start, "end": said.End}
	for _, tag := range strings.Split(said.Tags, ",") {
		name, value, is := strings.Cut(tag, ":")
		if _, twice := record.Labels[name]; !is || name == "" || value == "" || twice || len(tag) > 200 {
			return fmt.Errorf("tag %q", tag)
		}
		record.Labels[name] = value
	}
	for _, name := range []string{"service", "language", "runtime", "profiler_version", "profile_seq"} {
		if record.Labels[name] == "" {
			return fmt.Errorf("no tag %s", name)
		}
	}
	if id := record.Labels["runtime-id"]; id != "" && !runtimeID.MatchString(id) {
		return fmt.Errorf("runtime-id %q", id)
	}
	return nil
}

func takePprof(record *Record, raw []byte) error {
	reader, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		return err
	}
	parsed, err := profile.ParseData(plain)
	if err != nil {
		return err
	}
	if err := parsed.CheckValid(); err != nil {
		return err
	}
	for _, kind := range parsed.SampleType {
		if !slices.Contains(types, kind.Type+"/"+kind.Unit) {
			return fmt.Errorf("sample type %s/%s", kind.Type, kind.Unit)
		}
	}
	for _, sample := range parsed.Sample {
		for _, name := range numeric {
			if sample.Label[name] != nil {
				return fmt.Errorf("label %q must be a number", name)
			}
		}
	}
	record.Bytes = len(plain)
	record.Profile = contentsOf(parsed)
	return nil
}
