package main

import (
	"testing"

	"smgw/cmd/internal/cli/clitest"
)

func TestEveryVerbShowsHowItIsUsed(t *testing.T) { clitest.RequireExamples(t, newRootCommand()) }
