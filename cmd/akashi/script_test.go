package main

import (
	"encoding/json"
	"net"
	"os"
	"path"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"akashi/testdata/story"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"akashi": main})
}

// TestScripts runs whole commands as a user types them; each file of testdata/script is one story of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("AKASHI_PASSPHRASE", "correct horse battery staple")
			for _, name := range []string{"PORT", "PORT2"} {
				first, err := freePorts(20)
				if err != nil {
					return err
				}
				env.Setenv(name, strconv.Itoa(first))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"story": writeStoryFile,
			"fill":  fillEngagement,
			"await": awaitSocket,
			"flip":  flipByte,
		},
	})
}

// story FILE copies a file of the story to the work folder.
func writeStoryFile(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		data, err := story.File(name)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(path.Base(name)), data, 0o644))
	}
}

// fill SHEET WALLET.json puts a wallet's key and delivery proof into an engagement sheet.
func fillEngagement(ts *testscript.TestScript, neg bool, args []string) {
	var w struct {
		HolderJWK     json.RawMessage `json:"holder_jwk"`
		DeliveryProof string          `json:"delivery_proof"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &w))
	sheet := story.FillEngagement([]byte(ts.ReadFile(args[0])), string(w.HolderJWK), w.DeliveryProof)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), sheet, 0o644))
}

// patience is how long tests wait for what takes a moment on a machine with nothing else to do.
const patience = 2 * time.Minute

// await SOCKET waits until a service listens on a unix socket.
func awaitSocket(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", ts.MkAbs(args[0])); err == nil {
			c.Close()
			return
		}
	}
	ts.Fatalf("nothing listens on %s", args[0])
}

var longText = regexp.MustCompile(`[A-Za-z0-9_+/-]{64}`)

// flip FILE changes one character of a long text in base64, near the middle of a file: what it says, and not its form.
func flipByte(ts *testscript.TestScript, neg bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	at := len(data)/2 + longText.FindIndex(data[len(data)/2:])[0] + 32
	data[at] = map[bool]byte{true: 'B', false: 'A'}[data[at] == 'A']
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}
