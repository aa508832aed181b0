package main

import (
	"errors"
	"io"

	"github.com/urfave/cli/v2"
)

// completion and man: the command line told to shells and to man.

// completions are the shells' scripts; each asks this program for the words
// that fit. fish's is generated.
var completions = map[string]string{
	"bash": `_pxesidecar() {
  local cur="${COMP_WORDS[COMP_CWORD]}" before=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ $cur == -* ]] && before+=("$cur")
  mapfile -t COMPREPLY < <(compgen -W "$("${before[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur")
}
complete -o default -F _pxesidecar pxesidecar
`,
	"zsh": `#compdef pxesidecar
_pxesidecar() {
  local -a before fitting
  before=("${(@)words[1,CURRENT-1]}")
  [[ ${words[CURRENT]} == -* ]] && before+=("${words[CURRENT]}")
  fitting=("${(@f)$("${before[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n ${fitting[1]} ]]; then _describe 'pxesidecar' fitting; else _files; fi
}
compdef _pxesidecar pxesidecar
`,
	"powershell": `Register-ArgumentCompleter -Native -CommandName pxesidecar -ScriptBlock {
  param($word, $ast, $position)
  $before = @($ast.CommandElements | ForEach-Object { $_.ToString() })
  if ($word -and -not $word.StartsWith('-')) { $before = $before[0..($before.Count - 2)] }
  $rest = @($before | Select-Object -Skip 1) + '--generate-bash-completion'
  & $before[0] @rest 2>$null | Where-Object { $_ -like "$word*" } |
    ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
}
`,
}

// completionCommand prints a shell's completion script.
func completionCommand() *cli.Command {
	return &cli.Command{
		Name:         "completion",
		Usage:        "print the completion script of a shell: bash, zsh, fish or powershell",
		ArgsUsage:    "bash|zsh|fish|powershell",
		Description:  "For this session: source <(pxesidecar completion bash). For good: write it to where your shell looks for completions.",
		OnUsageError: onUsageError,
		Action: func(c *cli.Context) error {
			shell := c.Args().First()
			script, ok := completions[shell]
			if shell == "fish" {
				var err error
				if script, err = c.App.ToFishCompletion(); err != nil {
					return err
				}
			} else if !ok {
				return usageError{errors.New("which shell? bash, zsh, fish or powershell")}
			}
			_, err := io.WriteString(c.App.Writer, script)
			return err
		},
	}
}

// manCommand prints the manual page.
func manCommand() *cli.Command {
	return &cli.Command{
		Name:         "man",
		Usage:        "print the manual page",
		Description:  "To read it: pxesidecar man | man -l -",
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action: func(c *cli.Context) error {
			page, err := c.App.ToManWithSection(8)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.App.Writer, page)
			return err
		},
	}
}
