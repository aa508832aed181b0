package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// shells are the shells that have a completion script.
var shells = []string{"bash", "zsh", "fish", "powershell"}

// completions are the completion scripts of the shells. Each asks this program
// for the words that fit. The script of fish is generated.
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

// completionCommand returns the command that prints a shell's completion
// script.
func completionCommand() *cli.Command {
	return &cli.Command{
		Name:         "completion",
		Usage:        "print the completion script of a shell: " + either(shells),
		ArgsUsage:    strings.Join(shells, "|"),
		Description:  "For this session: source <(pxesidecar completion bash). To keep it, write it to where your shell looks for completions.",
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
				return usageError{fmt.Errorf("which shell? %s", either(shells))}
			}
			_, err := io.WriteString(c.App.Writer, script)
			return err
		},
	}
}
