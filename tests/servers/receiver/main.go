// SPDX-License-Identifier: Apache-2.0

// Receiver takes profiles as Pyroscope (push.v1 by Connect, on its published schema), Parca (WriteRaw by the JSON gateway)
// OpenTelemetry's receivers (OTLP/HTTP) and Datadog's agent do, refuses what the real ones were seen to refuse, and fails on demand.
//
//	receiver [-addr HOST:PORT] [-cert FILE -key FILE [-clients FILE]] DIR
//
// DIR/url is written once it serves. POST /script holds words, one for each following request; after the last it is
// "ok" again; a word ending in * stays. GET /received lists all requests with what they held.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Record is one request and what came of it.
type Record struct {
	Path     string            `json:"path"`
	Word     string            `json:"word"`
	Headers  map[string]string `json:"headers"`
	Bytes    int               `json:"bytes"`
	Accepted bool              `json:"accepted"`
	Error    string            `json:"error"`
	ID       string            `json:"id"`
	Labels   map[string]string `json:"labels"`
	Profile  *Contents         `json:"profile"`
	More     []*Contents       `json:"more,omitempty"` // OTLP: the profiles after the first
}

type receiver struct {
	sync.Mutex
	words   []string
	records []*Record
}

func (r *receiver) nextWord() string {
	r.Lock()
	defer r.Unlock()
	if len(r.words) == 0 {
		return "ok"
	}
	word := r.words[0]
	if strings.HasSuffix(word, "*") {
		return strings.TrimSuffix(word, "*")
	}
	r.words = r.words[1:]
	return word
}

func (r *receiver) setScript(w http.ResponseWriter, request *http.Request) {
	text, _ := io.ReadAll(request.Body)
	r.Lock()
	r.words = strings.Fields(string(text))
	r.Unlock()
}

func (r *receiver) add(record *Record) {
	r.Lock()
	r.records = append(r.records, record)
	r.Unlock()
}

var kept = []string{"Authorization", "X-Scope-Orgid", "Content-Type", "Content-Encoding", "User-Agent", "X-Extra", "Expect", "Proxy-Authorization", "Dd-Api-Key"}

// play carries out the request's word; true means that the server is to answer as usual.
func (r *receiver) play(w http.ResponseWriter, request *http.Request, next http.Handler) {
	record := &Record{Path: request.URL.Path, Word: r.nextWord(), Headers: map[string]string{}}
	for _, name := range kept {
		if value, is := request.Header[name]; is {
			record.Headers[name] = value[0]
		}
	}
	r.add(record)
	request = request.WithContext(withRecord(request.Context(), record))
	switch record.Word {
	case "ok":
		next.ServeHTTP(w, request)
		return
	case "delay": // slower than usual, but in time
		time.Sleep(300 * time.Millisecond)
		next.ServeHTTP(w, request)
		return
	}
	body, _ := io.ReadAll(request.Body)
	record.Bytes = len(body)
	switch record.Word {
	case "slow":
		<-request.Context().Done()
	case "garbage":
		raw(w, "\x00\x01\x02 this is not HTTP\r\n\r\n")
	case "truncated":
		raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nContent-Length: 1000\r\n\r\nabc")
	case "reset":
		reset(w)
	case "tellredirect": // with the secret in it
		http.Redirect(w, request, "http://127.0.0.1:9/?with="+strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "), http.StatusTemporaryRedirect)
	case "portal":
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>Please log in</html>")
	case "redirect":
		http.Redirect(w, request, "http://"+request.Host+"/elsewhere", http.StatusFound)
	case "endless":
		w.Header().Set("Content-Type", "application/proto")
		for {
			if _, err := w.Write(make([]byte, 64*1024)); err != nil {
				return
			}
		}
	case "headers": // no end of them
		raw(w, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-More: "+strings.Repeat("y", 1000)+"\r\n", 2000))
	case "comingup": // as Pyroscope says in its first seconds
		refuse(w, 500, "unknown", "rpc error: code = Unavailable desc = service is unavailable")
	case "toolarge":
		refuse(w, 429, "resource_exhausted", "message size 300 is larger than configured max 200")
	case "partial": // OTLP's way to refuse with a 200
		refusePart(w)
	case "echo": // tells the secret it was sent
		refuse(w, 403, "permission_denied", "no entry for "+request.Header.Get("Authorization"))
	case "retryafter":
		w.Header().Set("Retry-After", "1")
		refuse(w, 503, "unavailable", "come back")
	default:
		status, err := strconv.Atoi(record.Word)
		if err != nil {
			log.Fatalf("unknown word %q", record.Word)
		}
		refuse(w, status, "scripted", "as the script says")
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"code\":%q,\"message\":%q}", code, message)
}

func raw(w http.ResponseWriter, text string) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		io.WriteString(connection, text)
		connection.Close()
	}
}

func reset(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, is := connection.(*net.TCPConn); is {
		tcp.SetLinger(0)
	}
	connection.Close()
}

func main() {
	address := flag.String("addr", "127.0.0.1:0", "where to listen")
	certificate := flag.String("cert", "", "PEM file, serves TLS")
	key := flag.String("key", "", "PEM file")
	clients := flag.String("clients", "", "PEM file: whose certificates a client must have")
	socket := flag.String("socket", "", "unix socket to listen on as well")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: receiver [-addr HOST:PORT] [-cert FILE -key FILE [-clients FILE]] DIR")
	}
	r := &receiver{}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /script", r.setScript)
	routes.HandleFunc("GET /received", r.list)
	r.routePyroscope(routes)
	r.routeParca(routes)
	r.routeOtlp(routes)
	r.routeDatadog(routes)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	scheme := "http"
	if *certificate != "" {
		scheme = "https"
	}
	url := fmt.Sprintf("%s://%s", scheme, listener.Addr())
	ready := filepath.Join(flag.Arg(0), "url")
	if err := os.WriteFile(ready+".new", []byte(url), 0o644); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(ready+".new", ready); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: routes}
	if *socket != "" {
		other, err := net.Listen("unix", *socket)
		if err != nil {
			log.Fatal(err)
		}
		go server.Serve(other)
	}
	if *clients != "" {
		pem, err := os.ReadFile(*clients)
		if err != nil {
			log.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		server.TLSConfig = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	}
	if scheme == "https" {
		log.Fatal(server.ServeTLS(listener, *certificate, *key))
	}
	log.Fatal(server.Serve(listener))
}
