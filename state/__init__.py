"""From hosts to snapshots: channels, the script compiler, frames, facts and the inventory that lies on each host."""
