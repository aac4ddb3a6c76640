package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// newFormCommand is `smgw form`: what the form after § 54 MsbG makes of a
// contract. None of its verbs talks to the agent, and only show reads a clock.
func newFormCommand() *cobra.Command {
	form := &cobra.Command{
		Use:   "form",
		Short: "What the form after § 54 MsbG makes of the contract: what is due when, and what a payload would say",
	}
	form.AddCommand(newFormPlanCommand(), newFormPreviewCommand(), newFormVerifyCommand(), newFormShowCommand())
	return form
}

// writeLine writes v as one line of JSON.
func writeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}
