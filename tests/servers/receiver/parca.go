// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
)

var parcaName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func (r *receiver) routeParca(routes *http.ServeMux) {
	handler := http.HandlerFunc(r.writeRaw)
	routes.HandleFunc("POST /api/profiles/writeraw", func(w http.ResponseWriter, request *http.Request) { r.play(w, request, handler) })
}

// writeRaw is ProfileStoreService.WriteRaw by the JSON gateway.
func (r *receiver) writeRaw(w http.ResponseWriter, request *http.Request) {
	record := request.Context().Value(recordKey{}).(*Record)
	if err := takeRaw(record, request.Body); err != nil {
		record.Error = err.Error()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]any{"code": 3, "message": err.Error(), "details": []string{}})
		return
	}
	record.Accepted = true
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{}")
}

func takeRaw(record *Record, body io.Reader) error {
	var message struct {
		Series []struct {
			Labels struct {
				Labels []struct{ Name, Value string }
			}
			Samples []struct{ RawProfile []byte }
		}
	}
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&message); err != nil {
		return err
	}
	if len(message.Series) != 1 || len(message.Series[0].Samples) != 1 {
		return fmt.Errorf("not one series with one profile")
	}
	labels := map[string]string{}
	for _, label := range message.Series[0].Labels.Labels {
		if _, is := labels[label.Name]; is || !parcaName.MatchString(label.Name) {
			return fmt.Errorf("duplicate or bad label %q", label.Name)
		}
		labels[label.Name] = label.Value
	}
	record.Labels = labels
	if labels["__name__"] == "" {
		return fmt.Errorf("no __name__")
	}
	contents, size, err := decode(message.Series[0].Samples[0].RawProfile)
	record.Profile = contents
	record.Bytes = size
	return err
}
