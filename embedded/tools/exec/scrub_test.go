package main

import (
	"bytes"
	"strings"
	"testing"
)

func scrubbed(t *testing.T, values []string, writes ...string) string {
	t.Helper()
	var out bytes.Buffer
	var raw [][]byte
	for _, value := range values {
		raw = append(raw, []byte(value))
	}
	s := newScrubber(&out, raw)
	for _, write := range writes {
		if n, err := s.Write([]byte(write)); err != nil || n != len(write) {
			t.Fatalf("Write(%q) = %d, %v", write, n, err)
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestScrub(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []string
		writes []string
		want   string
	}{
		{"whole value", []string{"hunter2"}, []string{"pw=hunter2."}, "pw=***."},
		{"several occurrences", []string{"ab"}, []string{"abxabab"}, "***x******"},
		{"straddles two writes", []string{"hunter2"}, []string{"pw=hun", "ter2!"}, "pw=***!"},
		{"byte by byte", []string{"hunter2"}, strings.Split("a hunter2 b", ""), "a *** b"},
		{"a beginning that is none", []string{"hunter2"}, []string{"hun", "dred"}, "hundred"},
		{"unfinished at the end", []string{"hunter2"}, []string{"hunter"}, "hunter"},
		{"value after a false beginning", []string{"aab"}, []string{"a", "a", "a", "b"}, "a***"},
		{"trimmed form of a file's value", []string{"tok\n"}, []string{"(tok) tok\nx"}, "(***) ***x"},
		{"longest value wins", []string{"pass", "password"}, []string{"pass", "word pass"}, "*** ***"},
		{"longer value does not come", []string{"pass", "password"}, []string{"passw", "xyz"}, "***wxyz"},
		{"longer value cut off by the end", []string{"pass", "password"}, []string{"passwo"}, "***wo"},
		{"one character", []string{"x"}, []string{"axb"}, "a***b"},
		{"empty and blank values", []string{"", " \n"}, []string{"a b \n"}, "a b***"},
		{"no values", nil, []string{"as it ", "is"}, "as it is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := scrubbed(t, c.values, c.writes...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestScrubPassesOnWhatIsDecided(t *testing.T) {
	var out bytes.Buffer
	s := newScrubber(&out, [][]byte{[]byte("hunter2")})
	if _, err := s.Write([]byte("step 1\nhun")); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "step 1\n" {
		t.Errorf("got %q before the end, want the finished line only", got)
	}
}

func TestScrubKeepsTheCallersBuffer(t *testing.T) {
	buffer := []byte("a hunter2")
	var out bytes.Buffer
	s := newScrubber(&out, [][]byte{[]byte("hunter2")})
	_, _ = s.Write(buffer)
	if string(buffer) != "a hunter2" {
		t.Errorf("the written buffer became %q", buffer)
	}
}
