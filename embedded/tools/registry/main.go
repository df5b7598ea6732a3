// Command registry serves the lab's images: blobs from a folder, manifests from memory.
//
//	registry --address 127.0.0.1:PORT --disk FOLDER
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address := flag.String("address", "", "where it listens")
	disk := flag.String("disk", "", "the folder of blobs, sha256/<hex>")
	flag.Parse()
	if *address == "" || *disk == "" || flag.NArg() > 0 {
		log.Fatal("usage: registry --address ADDRESS --disk FOLDER")
	}
	server := &http.Server{
		Addr:              *address,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: registry.New(
			registry.WithBlobHandler(registry.NewDiskBlobHandler(*disk)),
			registry.Logger(log.New(os.Stderr, "", log.LstdFlags)),
		),
	}
	log.Fatal(server.ListenAndServe())
}
