module plimsoll.dev/examples/policy-go

go 1.22
