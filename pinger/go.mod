module github.com/ndmon/ndmon/pinger

go 1.26
