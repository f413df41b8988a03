// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
)

// The limits of Pyroscope as it comes.
const (
	mostLabels       = 30
	mostNameBytes    = 1024
	mostValueBytes   = 2048
	mostProfileBytes = 4 << 20
	burstBytes       = 2 << 20
	mostSamples      = 16000
	oldest           = time.Hour
	newest           = 10 * time.Minute
)

type recordKey struct{}

func withRecord(ctx context.Context, record *Record) context.Context {
	return context.WithValue(ctx, recordKey{}, record)
}

func (r *receiver) routePyroscope(routes *http.ServeMux) {
	path, handler := pushv1connect.NewPusherServiceHandler(r)
	routes.HandleFunc(path, func(w http.ResponseWriter, request *http.Request) { r.play(w, request, handler) })
}

// Push is push.v1.PusherService.
func (r *receiver) Push(ctx context.Context, request *connect.Request[pushv1.PushRequest]) (*connect.Response[pushv1.PushResponse], error) {
	record := ctx.Value(recordKey{}).(*Record)
	code, err := r.takePush(record, request.Msg)
	if err != nil {
		record.Error = err.Error()
		return nil, connect.NewError(code, err)
	}
	record.Accepted = true
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

func (r *receiver) takePush(record *Record, request *pushv1.PushRequest) (connect.Code, error) {
	// Ours alone: one error answers for all series, a retry would double the good ones.
	if len(request.Series) != 1 || len(request.Series[0].Samples) != 1 {
		return connect.CodeInvalidArgument, errors.New("not one series with one profile")
	}
	if unknown := request.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		return connect.CodeInvalidArgument, errors.New("unknown fields")
	}
	series := request.Series[0]
	labels := map[string]string{}
	for _, label := range series.Labels {
		if _, is := labels[label.Name]; is {
			return connect.CodeInvalidArgument, fmt.Errorf("duplicate label name: %s", label.Name)
		}
		labels[label.Name] = label.Value
	}
	record.Labels = labels
	if err := checkLabels(labels); err != nil {
		return connect.CodeInvalidArgument, err
	}
	record.ID = series.Samples[0].ID
	contents, size, err := decode(series.Samples[0].RawProfile)
	if err != nil {
		return connect.CodeInvalidArgument, err
	}
	record.Profile = contents
	record.Bytes = size
	switch age := time.Since(time.Unix(0, contents.TimeNanos)); {
	case size > mostProfileBytes:
		return connect.CodeInvalidArgument, fmt.Errorf("the profile size of %d bytes exceeds the limit", size)
	case size > burstBytes:
		return connect.CodeResourceExhausted, fmt.Errorf("push rate limit (4.0 MiB) exceeded while adding %d bytes", size)
	case len(contents.Samples) > mostSamples:
		return connect.CodeInvalidArgument, fmt.Errorf("%d samples exceed the limit", len(contents.Samples))
	case age > oldest || age < -newest:
		return connect.CodeInvalidArgument, errors.New("profile is outside of ingestion window")
	}
	return 0, nil
}

func checkLabels(labels map[string]string) error {
	if labels["__name__"] == "" {
		return errors.New("invalid metric name")
	}
	if len(labels) > mostLabels {
		return fmt.Errorf("%d label names exceed the limit", len(labels))
	}
	for name, value := range labels {
		if len(name) > mostNameBytes || len(value) > mostValueBytes || !utf8.ValidString(name+value) || name == "" {
			return fmt.Errorf("bad label %.60q", name)
		}
	}
	return nil
}
