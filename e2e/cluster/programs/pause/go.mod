module berth.dev/e2e/programs/pause

go 1.25.0
