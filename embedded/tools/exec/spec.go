package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// spec says how a command is run: the JSON object that is the helper's first argument. All keys may be left out.
type spec struct {
	Stdin          string   `json:"stdin"`          // text for the command's stdin; without any, it reads /dev/null
	StdinBase64    bool     `json:"stdinBase64"`    // stdin is base64
	RedirectStdin  string   `json:"redirectStdin"`  // file to read stdin from
	RedirectStdout string   `json:"redirectStdout"` // file that gets stdout too
	RedirectStderr string   `json:"redirectStderr"` // file that gets stderr too
	Mkdir          bool     `json:"mkdir"`          // create the redirect targets' folders
	Out            string   `json:"out"`            // folder for the files stdout, stderr and exitCode
	Combined       bool     `json:"combined"`       // a file `combined` in it too: both streams as they came
	Expect         string   `json:"expect"`         // SUCCESS (default), FAILURE or ANY
	ScrubEnv       []string `json:"scrubEnv"`       // variables whose values are secret
	ScrubFiles     []string `json:"scrubFiles"`     // files whose contents are secret
	Expand         bool     `json:"expand"`         // replace $VAR and ${VAR} in the arguments
	CA             string   `json:"ca"`             // PEM bundle that the command should trust
	Forward        *forward `json:"forward"`        // a TCP address in the container that leads out of it
}

// trustVariables are what the usual TLS clients read the path of a PEM bundle from. SSL_CERT_DIR is left alone: a
// folder is looked at in addition.
var trustVariables = []string{
	"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"GIT_SSL_CAINFO", "PIP_CERT", "AWS_CA_BUNDLE",
}

func parseSpec(text string) (*spec, error) {
	s := &spec{}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		return nil, fmt.Errorf("bad spec: %w", err)
	}
	switch s.Expect {
	case "":
		s.Expect = "SUCCESS"
	case "SUCCESS", "FAILURE", "ANY":
	default:
		return nil, fmt.Errorf("bad spec: expect is %q: give SUCCESS, FAILURE or ANY", s.Expect)
	}
	if s.StdinBase64 {
		raw, err := base64.StdEncoding.DecodeString(s.Stdin)
		if err != nil {
			return nil, fmt.Errorf("bad spec: stdin is not base64: %w", err)
		}
		s.Stdin = string(raw)
	}
	if s.Stdin != "" && s.RedirectStdin != "" {
		return nil, fmt.Errorf("bad spec: both stdin and redirectStdin %q are given: leave one out", s.RedirectStdin)
	}
	if s.Combined && s.Out == "" {
		return nil, fmt.Errorf("bad spec: combined needs out")
	}
	return s, nil
}

// arguments are the command's, expanded where asked for.
func (s *spec) arguments(args []string) []string {
	if !s.Expand {
		return args
	}
	expanded := make([]string, len(args))
	for i, arg := range args {
		expanded[i] = os.ExpandEnv(arg)
	}
	return expanded
}

// environment is the helper's own, with the bundle in those of the trustVariables that are not set.
func (s *spec) environment() ([]string, error) {
	env := os.Environ()
	if s.CA == "" {
		return env, nil
	}
	if _, err := os.Stat(s.CA); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	for _, name := range trustVariables {
		if _, set := os.LookupEnv(name); !set {
			env = append(env, name+"="+s.CA)
		}
	}
	return env, nil
}

// secrets are the values that must not show in the streams.
func (s *spec) secrets() ([][]byte, error) {
	var values [][]byte
	for _, name := range s.ScrubEnv {
		values = append(values, []byte(os.Getenv(name)))
	}
	for _, path := range s.ScrubFiles {
		value, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("scrubFiles: %w", err)
		}
		values = append(values, value)
	}
	return values, nil
}
