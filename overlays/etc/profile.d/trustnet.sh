# shellcheck shell=sh
# The state of the node, at each login of a person.
case $- in
*i*) trustnet os motd 2>/dev/null || : ;;
esac
