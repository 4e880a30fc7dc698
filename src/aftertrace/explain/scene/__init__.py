"""What every explanation is made from: an execution with its sources, and the requests it is compared with."""
