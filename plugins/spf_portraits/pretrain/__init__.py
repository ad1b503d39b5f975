"""The recipe of the embedded base model `mini` and its judges: `python -m spf_portraits.pretrain`."""
