// Command gcs serves fake-gcs-server, and adds the uploads of the XML interface that it lacks.
//
// Google Cloud Storage speaks JSON and XML. The fake server takes uploads by JSON only, and clients
// such as obstore send them by XML: a plain PUT, or the S3-like multipart upload. Both become a JSON
// upload here, with the same conditions; everything else passes through untouched.
//
// Usage: gcs ADDRESS FOLDER BUCKET
package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// First parts of paths that are no bucket.
var reserved = []string{"storage", "upload", "download", "batch", "_internal"}

type front struct {
	fake    http.Handler
	mutex   sync.Mutex
	uploads map[string]map[int][]byte // by identifier, then by number of the part
	count   int
}

func main() {
	address, folder, bucket := os.Args[1], os.Args[2], os.Args[3]
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true,
		StorageRoot: folder,
		Scheme:      "http",
		PublicHost:  address,
		ExternalURL: "http://" + address,
		Writer:      os.Stdout,
	})
	if err != nil {
		log.Fatal(err)
	}
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	handler := &front{fake: server.HTTPHandler(), uploads: map[string]map[int][]byte{}}
	log.Fatal(http.ListenAndServe(address, handler))
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, object, hasObject := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	isUpload := r.Method == http.MethodPut || r.Method == http.MethodPost || query.Has("uploadId")
	switch {
	case !isUpload || !hasObject || slices.Contains(reserved, bucket) || query.Has("X-Goog-Algorithm"):
		f.fake.ServeHTTP(w, r)
	case r.Header.Get("x-goog-copy-source") != "":
		http.Error(w, "copies are not served", http.StatusNotImplemented)
	case query.Has("uploads"):
		f.begin(w)
	case query.Has("uploadId"):
		f.proceed(w, r, bucket, object)
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, isStored := f.store(w, r, bucket, object, body); isStored {
			w.WriteHeader(http.StatusOK)
		}
	}
}

// store uploads by JSON, and sets the headers that XML answers with. A refusal is passed on whole.
func (f *front) store(w http.ResponseWriter, r *http.Request, bucket, object string, body []byte) (string, bool) {
	query := url.Values{"uploadType": {"media"}, "name": {object}}
	if generation := r.Header.Get("x-goog-if-generation-match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	target := "/upload/storage/v1/b/" + url.PathEscape(bucket) + "/o?" + query.Encode()
	request := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	request.Host = r.Host
	for _, name := range []string{"Content-Type", "Cache-Control"} {
		if value := r.Header.Get(name); value != "" {
			request.Header.Set(name, value)
		}
	}
	answer := httptest.NewRecorder()
	f.fake.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
		return "", false
	}
	var stored struct{ Etag, Generation string }
	if err := json.Unmarshal(answer.Body.Bytes(), &stored); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return "", false
	}
	etag := strconv.Quote(stored.Etag)
	w.Header().Set("ETag", etag)
	w.Header().Set("x-goog-generation", stored.Generation)
	return etag, true
}

func (f *front) begin(w http.ResponseWriter) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.count++
	identifier := strconv.Itoa(f.count)
	f.uploads[identifier] = map[int][]byte{}
	answer(w, "InitiateMultipartUploadResult", "UploadId", identifier)
}

// proceed takes a part (PUT), puts the parts together (POST), or forgets them (DELETE).
func (f *front) proceed(w http.ResponseWriter, r *http.Request, bucket, object string) {
	identifier := r.URL.Query().Get("uploadId")
	body, err := io.ReadAll(r.Body)
	f.mutex.Lock()
	defer f.mutex.Unlock()
	parts, isKnown := f.uploads[identifier]
	if err != nil || !isKnown {
		http.Error(w, "there is no such upload", http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodPut:
		number, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		parts[number] = body
		w.Header().Set("ETag", strconv.Quote(strconv.Itoa(number)))
	case http.MethodPost:
		var whole []byte
		for _, number := range slices.Sorted(maps.Keys(parts)) {
			whole = append(whole, parts[number]...)
		}
		if etag, isStored := f.store(w, r, bucket, object, whole); isStored {
			delete(f.uploads, identifier)
			answer(w, "CompleteMultipartUploadResult", "ETag", etag)
		}
	default:
		delete(f.uploads, identifier)
		w.WriteHeader(http.StatusNoContent)
	}
}

func answer(w http.ResponseWriter, root, field, value string) {
	var text bytes.Buffer
	if err := xml.EscapeText(&text, []byte(value)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "<%s><%s>%s</%s></%s>", root, field, text.String(), field, root)
}
