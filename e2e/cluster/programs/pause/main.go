// Command pause holds a pod's namespaces open until it is told to end. It is the one program of the image that every
// pod's sandbox runs.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Where a pod shares its process namespace, orphans come to us; whoever ignores this signal need not wait for them.
	signal.Ignore(syscall.SIGCHLD)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	<-told
}
