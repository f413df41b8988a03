// SPDX-License-Identifier: Apache-2.0

package main

import (
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func (r *receiver) routeOtlp(routes *http.ServeMux) {
	handler := http.HandlerFunc(r.export)
	for _, path := range []string{"POST /v1development/profiles", "POST /own/v1/profiles", "POST /any/place/"} {
		routes.HandleFunc(path, func(w http.ResponseWriter, request *http.Request) { r.play(w, request, handler) })
	}
}

// export is ProfilesService.Export by HTTP. Types and sizes it refuses as a Collector does, contents as the schema says,
// which a Collector does not look at.
func (r *receiver) export(w http.ResponseWriter, request *http.Request) {
	record := request.Context().Value(recordKey{}).(*Record)
	if request.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "unsupported", http.StatusUnsupportedMediaType)
		return
	}
	if err := takeOtlp(record, request); err != nil {
		record.Error = err.Error()
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, err.Error())
		return
	}
	record.Accepted = true
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, _ := proto.Marshal(&collector.ExportProfilesServiceResponse{})
	w.Write(answer)
}

// refusePart answers 200 and says in it that nothing was kept.
func refusePart(w http.ResponseWriter) {
	answer, _ := proto.Marshal(&collector.ExportProfilesServiceResponse{
		PartialSuccess: &collector.ExportProfilesPartialSuccess{RejectedProfiles: 1, ErrorMessage: "no room for it"}})
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(answer)
}

func takeOtlp(record *Record, request *http.Request) error {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(io.LimitReader(body, 20<<20+1))
	if err != nil {
		return err
	}
	if len(raw) > 20<<20 {
		return errors.New("http: request body too large")
	}
	record.Bytes = len(raw)
	message := &collector.ExportProfilesServiceRequest{}
	if err := proto.Unmarshal(raw, message); err != nil {
		return err
	}
	if len(raw) == 0 {
		return nil // an empty request is a valid one
	}
	if err := checkUnknown(message.ProtoReflect()); err != nil {
		return err
	}
	checker := newChecker(message.Dictionary)
	checker.request(message)
	if len(checker.wrong) > 0 {
		return errors.Join(checker.wrong...)
	}
	resource := message.ResourceProfiles[0]
	record.Labels = map[string]string{}
	for _, attribute := range resource.Resource.Attributes {
		record.Labels[attribute.Key] = textOf(attribute.Value)
	}
	scope := resource.ScopeProfiles[0]
	record.Labels["otel.scope.name"] = scope.Scope.GetName()
	for i, profile := range scope.Profiles {
		contents := otlpContents(profile, message.Dictionary)
		record.ID = hex.EncodeToString(profile.ProfileId)
		if i == 0 {
			record.Profile = contents
		} else {
			record.More = append(record.More, contents)
		}
	}
	return nil
}

// checkUnknown: our proto file has no field that the published one lacks.
func checkUnknown(message protoreflect.Message) error {
	if len(message.GetUnknown()) > 0 {
		return fmt.Errorf("unknown fields in %s", message.Descriptor().FullName())
	}
	var wrong error
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() == nil {
			return true
		}
		if field.IsList() {
			for i := 0; i < value.List().Len() && wrong == nil; i++ {
				wrong = checkUnknown(value.List().Get(i).Message())
			}
		} else {
			wrong = checkUnknown(value.Message())
		}
		return wrong == nil
	})
	return wrong
}

// checker resolves every index, as OpenTelemetry's profcheck does with all its options on: in range, nothing twice, nothing
// that nobody points at, zero entries where they belong.
type checker struct {
	dictionary *otlp.ProfilesDictionary
	wrong      []error
	used       map[string]map[int32]bool // by table
	sizes      map[string]int
}

func newChecker(dictionary *otlp.ProfilesDictionary) *checker {
	c := &checker{dictionary: dictionary, used: map[string]map[int32]bool{}, sizes: map[string]int{
		"mapping": len(dictionary.GetMappingTable()), "location": len(dictionary.GetLocationTable()),
		"function": len(dictionary.GetFunctionTable()), "link": len(dictionary.GetLinkTable()),
		"string": len(dictionary.GetStringTable()), "attribute": len(dictionary.GetAttributeTable()),
		"stack": len(dictionary.GetStackTable())}}
	for table := range c.sizes {
		c.used[table] = map[int32]bool{0: true}
	}
	return c
}

func (c *checker) fail(format string, words ...any) {
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Errorf(format, words...))
	}
}

func (c *checker) point(from, table string, index int32) {
	if index < 0 || int(index) >= c.sizes[table] {
		c.fail("%s: %s %d of %d", from, table, index, c.sizes[table])
		return
	}
	c.used[table][index] = true
}

func (c *checker) attributes(from string, indices []int32) {
	keys := map[int32]bool{}
	for _, index := range indices {
		c.point(from, "attribute", index)
		if index <= 0 || int(index) >= c.sizes["attribute"] {
			c.fail("%s: attribute %d", from, index)
			continue
		}
		key := c.dictionary.AttributeTable[index].KeyStrindex
		if keys[key] {
			c.fail("%s: a second attribute of one key", from)
		}
		keys[key] = true
	}
}

func (c *checker) request(message *collector.ExportProfilesServiceRequest) {
	for table, size := range c.sizes {
		if size == 0 {
			c.fail("the %s table has no zero entry", table)
			return
		}
	}
	if len(message.ResourceProfiles) != 1 || len(message.ResourceProfiles[0].ScopeProfiles) != 1 ||
		len(message.ResourceProfiles[0].ScopeProfiles[0].Profiles) == 0 {
		c.fail("not one resource with one scope with profiles")
		return
	}
	c.resource(message.ResourceProfiles[0].Resource.GetAttributes())
	for _, profile := range message.ResourceProfiles[0].ScopeProfiles[0].Profiles {
		c.profile(profile)
	}
	c.tables()
	for table, used := range c.used {
		for i := int32(0); int(i) < c.sizes[table]; i++ {
			if !used[i] {
				c.fail("nobody points at %s %d", table, i)
			}
		}
	}
}

func (c *checker) resource(attributes []*common.KeyValue) {
	keys := map[string]bool{}
	for _, attribute := range attributes {
		if attribute.Key == "" || keys[attribute.Key] || attribute.Value.GetValue() == nil {
			c.fail("resource attribute %q", attribute.Key)
		}
		keys[attribute.Key] = true
	}
	if !keys["service.name"] {
		c.fail("no service.name")
	}
}

func (c *checker) profile(profile *otlp.Profile) {
	for _, kind := range []*otlp.ValueType{profile.SampleType, profile.PeriodType} {
		if kind == nil {
			c.fail("a profile without a type")
			return
		}
		c.point("type", "string", kind.TypeStrindex)
		c.point("type", "string", kind.UnitStrindex)
	}
	if len(profile.ProfileId) != 16 || profile.TimeUnixNano == 0 {
		c.fail("a profile without id or time")
	}
	c.attributes("profile", profile.AttributeIndices)
	seen := map[string]bool{}
	for i, sample := range profile.Samples {
		from := fmt.Sprintf("sample %d", i)
		c.point(from, "stack", sample.StackIndex)
		c.point(from, "link", sample.LinkIndex)
		c.attributes(from, sample.AttributeIndices)
		if len(sample.Values) != 1 || len(sample.TimestampsUnixNano) != 0 {
			c.fail("%s: %d values", from, len(sample.Values))
		}
		identity := fmt.Sprint(sample.StackIndex, sample.LinkIndex, sample.AttributeIndices)
		if seen[identity] {
			c.fail("%s: the same stack, link and attributes as another", from)
		}
		seen[identity] = true
	}
}

// unique fails when two entries of a table say the same.
func unique[T any](c *checker, table string, entries []T, text func(T) string) {
	seen := map[string]bool{}
	for i, entry := range entries {
		said := text(entry)
		if seen[said] {
			c.fail("%s %d stands twice", table, i)
		}
		seen[said] = true
	}
}

func messageText[T proto.Message](message T) string {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	return fmt.Sprint(raw, err)
}

func (c *checker) tables() {
	d := c.dictionary
	for _, zero := range []proto.Message{d.MappingTable[0], d.LocationTable[0], d.FunctionTable[0], d.AttributeTable[0], d.StackTable[0]} {
		if proto.Size(zero) != 0 {
			c.fail("entry 0 of a table is not zero: %v", zero)
		}
	}
	if d.StringTable[0] != "" {
		c.fail("string 0 is %q", d.StringTable[0])
	}
	for i, link := range d.LinkTable {
		if i > 0 && (len(link.TraceId) != 16 || len(link.SpanId) != 8) {
			c.fail("link %d has %d and %d bytes", i, len(link.TraceId), len(link.SpanId))
		}
	}
	for i, mapping := range d.MappingTable {
		from := fmt.Sprintf("mapping %d", i)
		c.point(from, "string", mapping.FilenameStrindex)
		c.attributes(from, mapping.AttributeIndices)
		if i > 0 && mapping.MemoryStart >= mapping.MemoryLimit {
			c.fail("%s spans nothing", from)
		}
	}
	for i, function := range d.FunctionTable {
		from := fmt.Sprintf("function %d", i)
		for _, index := range []int32{function.NameStrindex, function.SystemNameStrindex, function.FilenameStrindex} {
			c.point(from, "string", index)
		}
		if i > 0 && function.NameStrindex == 0 && function.SystemNameStrindex == 0 && function.FilenameStrindex == 0 {
			c.fail("%s has no name", from)
		}
	}
	for i, location := range d.LocationTable {
		from := fmt.Sprintf("location %d", i)
		c.point(from, "mapping", location.MappingIndex)
		c.attributes(from, location.AttributeIndices)
		for _, line := range location.Lines {
			c.point(from, "function", line.FunctionIndex)
			if line.Line < 0 || line.FunctionIndex == 0 {
				c.fail("%s has a line of no function", from)
			}
		}
		mapping := d.MappingTable[min(int(location.MappingIndex), len(d.MappingTable)-1)]
		if location.MappingIndex > 0 && (location.Address < mapping.MemoryStart || location.Address > mapping.MemoryLimit) {
			c.fail("%s is outside of its mapping", from)
		}
	}
	for i, stack := range d.StackTable {
		for _, index := range stack.LocationIndices {
			c.point(fmt.Sprintf("stack %d", i), "location", index)
		}
	}
	for i, attribute := range d.AttributeTable {
		from := fmt.Sprintf("attribute %d", i)
		c.point(from, "string", attribute.KeyStrindex)
		c.point(from, "string", attribute.UnitStrindex)
		if i > 0 && (attribute.KeyStrindex == 0 || attribute.Value.GetValue() == nil) {
			c.fail("%s has no key or no value", from)
		}
	}
	for i, text := range d.StringTable {
		if !utf8.ValidString(text) {
			c.fail("string %d is not UTF-8", i)
		}
	}
	unique(c, "string", d.StringTable, func(s string) string { return s })
	unique(c, "mapping", d.MappingTable, messageText)
	unique(c, "function", d.FunctionTable, messageText)
	unique(c, "location", d.LocationTable, messageText)
	unique(c, "stack", d.StackTable, messageText)
	unique(c, "attribute", d.AttributeTable, messageText)
	unique(c, "link", d.LinkTable, messageText)
}

func textOf(value *common.AnyValue) string {
	switch v := value.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprintf("int %d", v.IntValue)
	}
	return value.String()
}

// otlpContents says what a checked profile holds.
func otlpContents(profile *otlp.Profile, d *otlp.ProfilesDictionary) *Contents {
	text := func(index int32) string { return d.StringTable[index] }
	kind := func(t *otlp.ValueType) string { return text(t.TypeStrindex) + "/" + text(t.UnitStrindex) }
	contents := &Contents{Types: []string{kind(profile.SampleType)}, PeriodType: kind(profile.PeriodType), Period: profile.Period,
		TimeNanos: int64(profile.TimeUnixNano), Duration: int64(profile.DurationNano), BuildIDs: map[string]string{}, Hashes: map[string]string{},
		Functions: len(d.FunctionTable) - 1, Attributes: map[string]string{}}
	for _, mapping := range d.MappingTable[1:] {
		for _, index := range mapping.AttributeIndices {
			if text(d.AttributeTable[index].KeyStrindex) == "process.executable.build_id.gnu" {
				contents.BuildIDs[text(mapping.FilenameStrindex)] = textOf(d.AttributeTable[index].Value)
			}
			if text(d.AttributeTable[index].KeyStrindex) == "process.executable.build_id.htlhash" {
				contents.Hashes[text(mapping.FilenameStrindex)] = textOf(d.AttributeTable[index].Value)
			}
		}
	}
	for _, index := range profile.AttributeIndices {
		attribute := d.AttributeTable[index]
		for _, value := range attribute.Value.GetArrayValue().GetValues() {
			contents.Comments = append(contents.Comments, textOf(value))
		}
		contents.Attributes[text(attribute.KeyStrindex)] = textOf(attribute.Value)
	}
	for _, sample := range profile.Samples {
		said := Sample{Stack: []string{}, Values: sample.Values, Labels: map[string][]string{}, Numbers: map[string][]int64{}}
		for _, index := range d.StackTable[sample.StackIndex].LocationIndices {
			location := d.LocationTable[index]
			for _, line := range location.Lines {
				function := d.FunctionTable[line.FunctionIndex]
				said.Stack = append(said.Stack, fmt.Sprintf("%s %s:%d", text(function.NameStrindex), text(function.FilenameStrindex), line.Line))
				for _, attribute := range location.AttributeIndices {
					said.FrameTypes = append(said.FrameTypes, textOf(d.AttributeTable[attribute].Value))
				}
			}
		}
		for _, index := range sample.AttributeIndices {
			attribute := d.AttributeTable[index]
			if number, is := attribute.Value.GetValue().(*common.AnyValue_IntValue); is {
				said.Numbers[text(attribute.KeyStrindex)] = []int64{number.IntValue}
			} else {
				said.Labels[text(attribute.KeyStrindex)] = []string{textOf(attribute.Value)}
			}
		}
		if link := d.LinkTable[sample.LinkIndex]; sample.LinkIndex > 0 {
			said.Link = hex.EncodeToString(link.TraceId) + "/" + hex.EncodeToString(link.SpanId)
		}
		contents.Samples = append(contents.Samples, said)
	}
	return contents
}
