"""The shards of a run, put together again.

Holds the reader of what each shard left, what is missing, twice or different in the whole and which exit status it has,
and which cells turned since an earlier whole. All works on records alone; no torch. Imports `records`, `plan`, `gate`
for its rule of validity, and `reports`. Read by `cli`.
"""
