// Command etcd is the upstream server, unchanged: upstream's own main is these two lines too.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
