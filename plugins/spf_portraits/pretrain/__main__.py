"""Run stages of the recipe. `all` takes about an hour on two CPU cores; finished sets are kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from spf_portraits.pretrain.recipe import WEIGHTS, Options, default_cache

STAGE_ORDER = ("data", "tokenizer", "clip", "text", "vae", "unet", "judges", "export", "ceiling", "check")


def parse_arguments() -> tuple[list[str], Options]:
    """Stages to run and their options."""
    parser = argparse.ArgumentParser(prog="python -m spf_portraits.pretrain", description=__doc__)
    parser.add_argument("--stage", choices=[*STAGE_ORDER, "restore", "all"], required=True)
    parser.add_argument("--steps", type=int, help="training steps in place of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="data and checkpoints")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where export, judges and check write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=300, help="seconds between checkpoints")
    parser.add_argument("--snapshot-every", type=int, default=0, help="UNet steps between exported snapshots")
    parser.add_argument("--snapshots", type=Path, help="folder for the snapshots")
    arguments = vars(parser.parse_args())
    stage = arguments.pop("stage")
    return list(STAGE_ORDER) if stage == "all" else [stage], Options(**arguments)


def run_stage(name: str, options: Options) -> None:
    """Run one stage; each imports only what it needs."""
    match name:
        case "data":
            from spf_portraits.pretrain.data import render_sets as run
        case "tokenizer":
            from spf_portraits.pretrain.clip import make_tokenizer as run
        case "clip":
            from spf_portraits.pretrain.clip import train_clip as run
        case "text":
            from spf_portraits.pretrain.text import train_text as run
        case "restore":
            from spf_portraits.pretrain.restore import restore as run
        case "vae":
            from spf_portraits.pretrain.vae import train_vae as run
        case "unet":
            from spf_portraits.pretrain.unet import train_unet as run
        case "judges":
            from spf_portraits.pretrain.judge import train_judges as run
        case "ceiling":
            from spf_portraits.pretrain.ceiling import measure_ceiling as run
        case "export":
            from spf_portraits.pretrain.export import export_all as run
        case _:
            from spf_portraits.pretrain.check import run_check as run
    run(options)


def main() -> None:
    """Entry point."""
    import torch

    stages, options = parse_arguments()
    torch.set_num_threads(options.threads)
    for stage in stages:
        run_stage(stage, options)


if __name__ == "__main__":
    main()
