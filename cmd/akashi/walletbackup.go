package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"akashi/wallet"
)

const envRecoveryCode = "AKASHI_RECOVERY_CODE"

// backupExtra goes along in a backup: where the wallet's registry is.
type backupExtra struct {
	Registry string `json:"registry"`
}

func (f *walletFlags) newBackup(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Save everything in an encrypted file; print its recovery code, this once",
		Long: "Save keys, documents and own statements in an encrypted file, and print the recovery code that opens it. The code is shown this once:\n" +
			"write it on paper and keep it in another place than the file. Nobody has a copy of your own statements but you, so make a backup after each.",
		Args: exactArgs("FILE"),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil {
				return &exitError{exitUsage, fmt.Errorf("%s is there already: choose another name", args[0])}
			}
			file, err := f.file()
			if err != nil {
				return err
			}
			extra, err := json.Marshal(backupExtra{file.Registry})
			if err != nil {
				return err
			}
			code := wallet.NewRecoveryCode()
			data, err := w.Backup(ctx, code, extra)
			if err != nil {
				return err
			}
			if err := writeFile(args[0], data, 0o600); err != nil {
				return err
			}
			s.say("saved %s; write down the recovery code, it is not shown again", args[0])
			if f.json {
				return s.json(struct {
					RecoveryCode string `json:"recovery_code"`
				}{code})
			}
			_, err = fmt.Fprintln(s.out, code)
			return err
		}),
	}
}

func (f *walletFlags) newRestore(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a wallet out of a backup and its recovery code, with a new passphrase",
		Long:  "Make a wallet out of a backup. The recovery code is asked for on the terminal, or taken from " + envRecoveryCode + ".",
		Args:  exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.dir == "" {
				return &exitError{exitUsage, errors.New("--wallet DIR is needed")}
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			code, err := recoveryCode(s)
			if err != nil {
				return err
			}
			b, err := wallet.OpenBackup(data, code)
			if err != nil {
				return err
			}
			var extra backupExtra
			if err := json.Unmarshal(b.Extra, &extra); err != nil {
				return errors.Join(wallet.ErrBackup, err)
			}
			err = f.fill(s, extra.Registry, func(cfg wallet.Config) error {
				_, err := b.Restore(cmd.Context(), cfg)
				return err
			})
			if err != nil {
				return err
			}
			s.say("restored the wallet into %s; run akashi wallet sync for what came since the backup", f.dir)
			if f.json {
				return s.json(map[string]string{"wallet": f.dir, "registry": extra.Registry})
			}
			return nil
		},
	}
}

// recoveryCode takes AKASHI_RECOVERY_CODE, or asks on a terminal.
func recoveryCode(s streams) (string, error) {
	if code, ok := os.LookupEnv(envRecoveryCode); ok {
		return code, nil
	}
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", &exitError{exitUsage, errors.New("no terminal to ask for the recovery code: set " + envRecoveryCode)}
	}
	fmt.Fprint(s.err, "Recovery code: ")
	code, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(s.err)
	return string(bytes.TrimSpace(code)), err
}

func (f *walletFlags) newExport(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Print every document as JSON, readable without this program; no keys",
		Args:  exactArgs(),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, _ []string) error {
			e, err := w.Export(ctx)
			if err != nil {
				return err
			}
			return s.json(e)
		}),
	}
}
