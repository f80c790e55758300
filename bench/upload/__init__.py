"""Local files to S3, side by side with `aws s3 cp`, rclone and s5cmd: how fast, at what cost. `python -m bench.upload [--quick] [--only ROW]`."""
