//go:build ignore

// This program makes vendors.txt.gz from files that vendors.Parse reads. Later files correct
// earlier ones. The same files make the same bytes.
//
//	go run gen.go -date DAY -source TEXT -o vendors.txt.gz FILE...
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/vendors"
)

func main() {
	date := flag.String("date", "", "the `day` of the data, such as 2024-08-25")
	source := flag.String("source", "", "where the data are from, for the comment in the first line")
	out := flag.String("o", "vendors.txt.gz", "the `file` to write")
	flag.Parse()
	if err := generate(*out, *date, *source, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(out, date, source string, files []string) error {
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return fmt.Errorf("-date %q is no day such as 2024-08-25: %w", date, err)
	}
	if len(files) == 0 {
		return errors.New("no files to read")
	}
	header := fmt.Sprintf("# %s %s\n", date, strings.Join(strings.Fields(source), " "))
	text := []byte(header)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		t, err := vendors.Parse(file, data)
		if err != nil {
			return err
		}
		if t.Date() > date {
			return fmt.Errorf("-date %s is before %s, which %s says", date, t.Date(), file)
		}
		text = t.Append(text)
	}
	// Of two lines for one prefix the last holds.
	all, err := vendors.Parse("all files together", text)
	if err != nil {
		return err
	}
	// Without name and time in its header, gzip makes the same bytes each time.
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = w.Write(all.Append([]byte(header)))
	if err = cmp.Or(err, w.Close()); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := os.WriteFile(out, packed.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d prefixes, %d bytes\n", out, all.Len(), packed.Len())
	return nil
}
