// Package httpserver serves the endpoint. Calls as every AWS SDK sends them (a POST to "/" over HTTP/1.1 with a
// Content-Length and nothing that needs more than reading and answering) are answered in a loop of this package; all else,
// and from then on everything on the same connection, is net/http's.
//
// The reason is the goroutine and the system calls with which net/http watches each connection for a client that hangs
// up while its request is answered: they are about two fifths of what it spends on a request (docs/performance.md), and a
// call is seen to its end whether or not its client waits.
//
// A client cannot tell the difference (FuzzServer compares the two). Handlers of calls can: their Request.Context is
// never done and holds no values of net/http's, and their answers, header fields included, are gathered until they
// return. So answers have a Content-Length, counted here, but no trailers and no informational ones before them;
// http.ResponseController moves the time limit of reads only. Hooks of http.Server (BaseContext, ConnContext,
// ConnState) hear of nothing but what is net/http's.
//
// What is ordinary is decided from the head of a request before anything of it is taken, and narrowly: whatever is
// doubtful goes to net/http untouched. This package knows nothing of AWS.
package httpserver
