// Command network-policy enforces the NetworkPolicies of a cluster on one node, by kube-router's own controller alone:
// iptables and ipset in the network namespace that it runs in.
//
// Upstream's own main brings a BGP router and a service proxy along, which have no use here and their age besides.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	config := options.NewKubeRouterConfig()
	config.EnableIPv4 = true
	kubeconfig := flag.String("kubeconfig", "", "of an account that may read nodes, namespaces, pods and policies")
	flag.StringVar(&config.HostnameOverride, "node", "", "the node whose pods are guarded")
	flag.StringVar(&config.ClusterIPCIDRs[0], "service-range", "10.96.0.0/12", "addresses of the cluster's services")
	flag.Parse()

	stop := make(chan struct{})
	controller, err := guard(*kubeconfig, config, stop)
	if err != nil {
		log.Fatalf("network-policy: %v", err)
	}
	beats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for range beats { // nobody asks; unread, they would block the controller
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	go controller.Run(beats, stop, &running)

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	close(stop)
	running.Wait()
}

// guard makes the controller and has it told of every change, once it knows all that there is.
func guard(kubeconfig string, config *options.KubeRouterConfig, stop chan struct{}) (*netpol.NetworkPolicyController, error) {
	access, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	tables, sets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return nil, err
	}
	var writes sync.Mutex
	made, err := netpol.NewNetworkPolicyController(client, config, pods, policies, namespaces, &writes, tables, sets)
	if err != nil {
		return nil, err
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: made.PodEventHandler, policies: made.NetworkPolicyEventHandler, namespaces: made.NamespaceEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, err
		}
	}
	return made, nil
}
