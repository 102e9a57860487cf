"""`concerted completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

import json

import click
from click.shell_completion import get_completion_class

from concerted.cli.options import json_option

__all__ = ["completion"]


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script of a shell.

    \b
    bash: eval "$(concerted completion bash)"          in ~/.bashrc
    zsh:  eval "$(concerted completion zsh)"           in ~/.zshrc
    fish: concerted completion fish | source           in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    # Not source(), which starts the shell to ask for its version.
    script = kind.source_template % kind(root, {}, "concerted", "_CONCERTED_COMPLETE").source_vars()
    click.echo(json.dumps({"shell": shell, "script": script}) if as_json else script)
